package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// conn is one keep-alive connection of a browser or a phone. It speaks just the HTTP/1.1 that the server answers with, and
// allocates nothing per request.
type conn struct {
	tcp  net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte

	nonce    string        // the server's last, for proofs
	patience time.Duration // for an answer; 0 is the usual
}

// patience bounds every answer; a held request ends long before.
const patience = 60 * time.Second

func dial(addr string) (*conn, error) {
	tcp, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{tcp: tcp, in: bufio.NewReaderSize(tcp, 4<<10)}, nil
}

func (c *conn) close() { _ = c.tcp.Close() }

// send writes a request. head are the header lines after Host, each with its CRLF.
func (c *conn) send(method, path, head string, body []byte) error {
	b := append(c.out[:0], method...)
	b = append(b, ' ')
	b = append(b, path...)
	b = append(b, " HTTP/1.1\r\nHost: id.example\r\n"...)
	b = append(b, head...)
	if body != nil {
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.out = append(b, body...)
	_, err := c.tcp.Write(c.out)
	return err
}

var (
	lengthName = []byte("Content-Length: ")
	cookieName = []byte("Set-Cookie: ")
	nonceName  = []byte("Dpop-Nonce: ")
)

// receive reads one answer. The body is good until the next call. cookie, if not nil, hears of each Set-Cookie.
func (c *conn) receive(cookie func(value string)) (status int, body []byte, err error) {
	if err := c.tcp.SetReadDeadline(time.Now().Add(cmp.Or(c.patience, patience))); err != nil {
		return 0, nil, err
	}
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, nil, fmt.Errorf("read status: %w", err)
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("not a status line: %q", line)
	}
	status = int(line[9]-'0')*100 + int(line[10]-'0')*10 + int(line[11]-'0')
	length := 0
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, nil, fmt.Errorf("read header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			if cap(c.body) < length {
				c.body = make([]byte, length)
			}
			c.body = c.body[:length]
			_, err = io.ReadFull(c.in, c.body)
			return status, c.body, err
		case bytes.HasPrefix(line, lengthName):
			if length, err = strconv.Atoi(string(line[len(lengthName):])); err != nil {
				return 0, nil, err
			}
		case bytes.HasPrefix(line, []byte("Transfer-Encoding:")):
			return 0, nil, errors.New("the answer has no Content-Length")
		case bytes.HasPrefix(line, nonceName):
			c.nonce = string(line[len(nonceName):])
		case cookie != nil && bytes.HasPrefix(line, cookieName):
			cookie(string(line[len(cookieName):]))
		}
	}
}

// expect is receive for an answer that must have a status.
func (c *conn) expect(want int) ([]byte, error) {
	status, body, err := c.receive(nil)
	if err == nil && status != want {
		err = fmt.Errorf("status %d instead of %d: %.300s", status, want, body)
	}
	return body, err
}

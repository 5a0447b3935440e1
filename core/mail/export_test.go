package mail

import "context"

// Link is the link that a mail about a request to host gets.
func (s *Service) Link(ctx context.Context, scheme, host string) string {
	_, link := s.site(ctx, &Facts{Scheme: scheme, Host: host})
	return link
}

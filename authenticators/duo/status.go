package duo

import (
	"context"
	"fmt"
	"net/http"

	"countersign/core/api"
	"countersign/core/db"
	"countersign/core/fault"
)

// The states of an enrolment, in Duo's words.
const (
	statusSuccess = "success"
	statusWaiting = "waiting"
	statusInvalid = "invalid"
)

// Enrolment is how far an enrolment is.
type Enrolment string

// Enum lists the states.
func (Enrolment) Enum() []string { return []string{statusSuccess, statusWaiting, statusInvalid} }

// SchemaName is the component's name.
func (Enrolment) SchemaName() string { return "DuoResponseEnum" }

// EnrolmentStatus is the answer to the polling of the set-up page.
type EnrolmentStatus struct {
	DuoResponse Enrolment `json:"duo_response" api:"required"`
}

// SchemaName is the component's name.
func (EnrolmentStatus) SchemaName() string { return "DuoDeviceEnrollmentStatus" }

// stageKey documents the path parameter of the operations below a stage.
func stageKey() []api.Parameter {
	return []api.Parameter{{Name: "stage_uuid", Format: "uuid", Description: "A UUID string identifying this Duo Authenticator Setup Stage."}}
}

// Mount adds the polling and the imports below /stages/authenticator/duo/{stage_uuid}/.
func (s *Service) Mount(a *api.API) {
	// The session decides by itself, also that of somebody who is not logged in.
	a.Raw(api.Operation{
		Method: "POST", Path: "/stages/authenticator/duo/{stage_uuid}/enrollment_status/", Params: stageKey(), Response: EnrolmentStatus{},
		Access: api.Open, Description: "Check enrollment status of user details in current session",
	}, s.enrolmentStatus)
	s.mountImports(a)
}

// enrolmentStatus tells the browser that shows an enrolment how far it is. 400 without a body: it shows none.
func (s *Service) enrolmentStatus(ctx context.Context, r *api.Request) error {
	st, err := s.stage(ctx, s.Pool, r.Param("stage_uuid"))
	if err != nil {
		return err
	}
	sess, err := s.Sessions.Load(ctx, r.HTTP)
	if err != nil {
		return err
	}
	var e *enrolment
	if sess != nil {
		if e, err = st.enrolment(ctx, s.Pool, "session_uuid", sess.UUID); err != nil {
			return err
		}
	}
	if e == nil {
		r.Writer.WriteHeader(http.StatusBadRequest)
		return nil
	}
	status, err := st.status(ctx, e)
	if err != nil {
		return fault.New(fault.Unavailable, "duo", "Duo cannot be reached.").Wrap(err)
	}
	if status == statusSuccess && !e.Activated {
		if _, err := s.Pool.Exec(ctx, `UPDATE duo_enrollments SET activated = true WHERE user_id = $1 AND stage = $2`, e.User, st.id); err != nil {
			return fmt.Errorf("note the activation: %w", db.Fault(err))
		}
	}
	return r.JSON(http.StatusOK, EnrolmentStatus{Enrolment(status)})
}

package event

import "slices"

// Action is what happened. The contract's enumeration EventActions names them.
type Action string

// The actions of the contract, in its order. Custom is a prefix: custom_<anything>.
const (
	Login                    Action = "login"
	LoginFailed              Action = "login_failed"
	Logout                   Action = "logout"
	UserWrite                Action = "user_write"
	SuspiciousRequest        Action = "suspicious_request"
	PasswordSet              Action = "password_set"
	SecretView               Action = "secret_view"
	SecretRotate             Action = "secret_rotate"
	InvitationUsed           Action = "invitation_used"
	AuthorizeApplication     Action = "authorize_application"
	SourceLinked             Action = "source_linked"
	ImpersonationStarted     Action = "impersonation_started"
	ImpersonationEnded       Action = "impersonation_ended"
	FlowExecution            Action = "flow_execution"
	PolicyExecution          Action = "policy_execution"
	PolicyException          Action = "policy_exception"
	PropertyMappingException Action = "property_mapping_exception"
	SystemTaskExecution      Action = "system_task_execution"
	SystemTaskException      Action = "system_task_exception"
	SystemException          Action = "system_exception"
	ConfigurationError       Action = "configuration_error"
	ModelCreated             Action = "model_created"
	ModelUpdated             Action = "model_updated"
	ModelDeleted             Action = "model_deleted"
	EmailSent                Action = "email_sent"
	UpdateAvailable          Action = "update_available"
	Custom                   Action = "custom_"
)

// actions are the contract's, each with the label that people see.
var actions = []struct {
	action Action
	label  string
}{
	{Login, "Login"}, {LoginFailed, "Login Failed"}, {Logout, "Logout"}, {UserWrite, "User Write"},
	{SuspiciousRequest, "Suspicious Request"}, {PasswordSet, "Password Set"}, {SecretView, "Secret View"},
	{SecretRotate, "Secret Rotate"}, {InvitationUsed, "Invite Used"}, {AuthorizeApplication, "Authorize Application"},
	{SourceLinked, "Source Linked"}, {ImpersonationStarted, "Impersonation Started"},
	{ImpersonationEnded, "Impersonation Ended"}, {FlowExecution, "Flow Execution"},
	{PolicyExecution, "Policy Execution"}, {PolicyException, "Policy Exception"},
	{PropertyMappingException, "Property Mapping Exception"}, {SystemTaskExecution, "System Task Execution"},
	{SystemTaskException, "System Task Exception"}, {SystemException, "System Exception"},
	{ConfigurationError, "Configuration Error"}, {ModelCreated, "Model Created"}, {ModelUpdated, "Model Updated"},
	{ModelDeleted, "Model Deleted"}, {EmailSent, "Email Sent"}, {UpdateAvailable, "Update Available"},
	{Custom, "Custom Prefix"},
}

// Actions are all actions of the contract, in its order.
func Actions() []Action {
	out := make([]Action, len(actions))
	for i, a := range actions {
		out[i] = a.action
	}
	return out
}

// Enum lists the values for the OpenAPI document.
func (Action) Enum() []string {
	out := make([]string, len(actions))
	for i, a := range actions {
		out[i] = string(a.action)
	}
	return out
}

// SchemaName is the component's name in the OpenAPI document.
func (Action) SchemaName() string { return "EventActions" }

// Label is the action in words, "Login Failed"; for an action that the contract does not list, its value.
func (a Action) Label() string {
	i := slices.IndexFunc(actions, func(e struct {
		action Action
		label  string
	}) bool {
		return e.action == a
	})
	if i < 0 {
		return string(a)
	}
	return actions[i].label
}

//! What is not allowed, and by whom, from Amazon's own words: "Troubleshoot access denied error messages" in the IAM User Guide.

use crate::amazon::CallError;

/// What a launch with a role is refused for without; Amazon's message says for which one.
const PASS_ROLE: &str = "iam:PassRole";
/// The kind that permissions are given by; all others take from what it gives.
const OWN: &str = "identity-based policy";
/// Those that are an organization's.
const OF_ORGANIZATIONS: [&str; 2] = ["service control policy", "resource control policy"];

/// An action that is not allowed.
pub struct Denial {
    action: String,
    /// The policy that forbids it, whatever else allows it; `None`: nothing allows it.
    by: Option<String>,
}

pub fn is_permission(error: &CallError) -> bool {
    ["UnauthorizedOperation", "AccessDenied", "AccessDeniedException"].contains(&error.code())
}

/// The action that is not allowed, if that is it: as Amazon's message has it, for a call may take several; else the call's own.
pub fn denied(error: &CallError) -> Option<Denial> {
    let CallError::Refused { call, message, .. } = error else { return None };
    let named = message.split("not authorized to perform: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let action = named.map_or_else(|| format!("ec2:{call}"), str::to_owned);
    is_permission(error).then(|| Denial { action, by: forbids(message) })
}

/// The policy that denies it, with its ARN where Amazon says that, or that would have to allow it besides the credentials' own.
fn forbids(message: &str) -> Option<String> {
    let denies = message.split(" with an explicit deny in ").nth(1).and_then(|rest| rest.split(". ").next());
    let denies = denies.map(|policy| policy.trim_end_matches('.').to_owned());
    let silent = message.split(" because no ").nth(1).and_then(|rest| rest.split(" allows ").next());
    denies.or_else(|| silent.filter(|kind| *kind != OWN).map(|kind| format!("a {kind}")))
}

pub fn refusal(error: &CallError) -> String {
    match (denied(error), error) {
        (None, _) => error.plain(),
        (Some(Denial { action, by: None }), CallError::Refused { message, .. }) if action == PASS_ROLE => {
            let role = message.split("on resource: ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let role = role.map_or_else(|| "the role of `instance_profile`".to_owned(), str::to_owned);
            format!(
                "not allowed: give these credentials {PASS_ROLE} for {role} (`bookend doctor ec2 --policy` prints it; write \
                 `instance_role` where the role is not called as its profile)"
            )
        }
        (Some(denial), _) => not_allowed(&[denial]),
    }
}

pub fn not_allowed(denials: &[Denial]) -> String {
    let wanting: Vec<&str> = denials.iter().filter(|one| one.by.is_none()).map(|one| one.action.as_str()).collect();
    let give = (!wanting.is_empty()).then(|| {
        let actions = wanting.join(", ");
        format!("give these credentials {actions} (`bookend doctor ec2 --policy` prints all it takes)")
    });
    let forbidden = denials.iter().filter_map(|Denial { action, by }| {
        let by = by.as_ref()?;
        let what_to_do = match OF_ORGANIZATIONS.iter().any(|kind| by.contains(kind)) {
            true => "whoever administers the organization that the account is in has to change it",
            false => "it has to be changed",
        };
        Some(format!("{by} forbids {action}, whatever permissions these credentials are given: {what_to_do}"))
    });
    format!("not allowed: {}", give.into_iter().chain(forbidden).collect::<Vec<_>>().join("; "))
}

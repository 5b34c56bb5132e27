//! Service Quotas: the limit of processors, asked for beforehand. Speaks AWS JSON 1.1.

use serde_json::json;

use crate::cloud::{Answer, Cloud, JSON};
use crate::problem::Problem;
use crate::query::Request;

/// Of running on-demand standard instances.
const STANDARD: &str = "L-1216C47A";
/// What is told when this Amazon has no limit.
const PLENTY: u32 = 1920;

pub fn is_one(action: &str) -> bool {
    action == "GetServiceQuota"
}

impl Cloud {
    pub(super) fn answer_quotas(&mut self, now_ms: i64, request: &Request) -> Answer {
        let outcome = self.quota(now_ms, request);
        let account = "servicequotas";
        self.audit.note(now_ms, account, request.action(), false, request, outcome.as_ref().err());
        let (status, body) = match outcome {
            Ok(limit) => {
                let name = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances";
                let quota = json!({ "ServiceCode": "ec2", "QuotaCode": STANDARD, "QuotaName": name, "Value": limit });
                (200, json!({ "Quota": quota }))
            }
            Err(problem) => (problem.status, json!({ "__type": problem.code, "message": problem.message })),
        };
        Answer { status, body: body.to_string(), kind: JSON }
    }

    fn quota(&self, now_ms: i64, request: &Request) -> Result<f64, Problem> {
        self.caller(request.caller.as_ref(), now_ms)?;
        if self.denied.contains(request.action()) {
            let message = "User is not authorized to perform: servicequotas:GetServiceQuota";
            return Err(Problem::new(400, "AccessDeniedException", message));
        }
        let asked = request.asked();
        match (asked.text("ServiceCode"), asked.text("QuotaCode")) {
            (Some("ec2"), Some(STANDARD)) => Ok(f64::from(self.rules.vcpu_limit.unwrap_or(PLENTY))),
            _ => Err(Problem::new(400, "NoSuchResourceException", "The requested quota does not exist.")),
        }
    }
}

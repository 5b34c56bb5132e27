//! Service Quotas: limits of processors, asked for beforehand. Speaks AWS JSON 1.1. Only the one of standard instances on demand is
//! one that launches meet.

use serde_json::json;

use crate::cloud::{Answer, Cloud, JSON, permissions};
use crate::problem::Problem;
use crate::query::Request;

/// Of running on-demand standard instances.
const STANDARD: &str = "L-1216C47A";
/// Code and name, as in "Amazon EC2 instance type quotas".
const KNOWN: [(&str, &str); 19] = [
    (STANDARD, "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
    ("L-6E869C2A", "Running On-Demand DL instances"),
    ("L-74FC7D96", "Running On-Demand F instances"),
    ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    ("L-F7808C92", "Running On-Demand HPC instances"),
    ("L-43DA4232", "Running On-Demand High Memory instances"),
    ("L-1945791B", "Running On-Demand Inf instances"),
    ("L-417A185B", "Running On-Demand P instances"),
    ("L-2C3B7624", "Running On-Demand Trn instances"),
    ("L-7295265B", "Running On-Demand X instances"),
    ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"),
    ("L-85EED4F7", "All DL Spot Instance Requests"),
    ("L-88CF9481", "All F Spot Instance Requests"),
    ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ("L-B5D1601B", "All Inf Spot Instance Requests"),
    ("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests"),
    ("L-C4BD4855", "All P5 Spot Instance Requests"),
    ("L-6B0D517C", "All Trn Spot Instance Requests"),
    ("L-E3A00192", "All X Spot Instance Requests"),
];
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
            Ok((code, name, limit)) => {
                let quota =
                    json!({ "ServiceCode": "ec2", "QuotaCode": code, "QuotaName": name, "Value": f64::from(limit) });
                (200, json!({ "Quota": quota }))
            }
            Err(problem) => (problem.status, json!({ "__type": problem.code, "message": problem.message })),
        };
        Answer { status, body: body.to_string(), kind: JSON }
    }

    fn quota(&mut self, now_ms: i64, request: &Request) -> Result<(&'static str, &'static str, u32), Problem> {
        let who = self.caller(request.caller.as_ref(), now_ms)?;
        let access = permissions::anything(&format!("servicequotas:{}", request.action()));
        let forbids = self.policies.get(&who.principal).is_some_and(|policy| !policy.allows(&access));
        if forbids {
            *self.audit.counts.forbidden.entry(access.action.clone()).or_default() += 1;
        }
        if forbids || self.denied.contains(request.action()) {
            let message = "User is not authorized to perform: servicequotas:GetServiceQuota";
            return Err(Problem::new(400, "AccessDeniedException", message));
        }
        let asked = request.asked();
        let unknown = || Problem::new(400, "NoSuchResourceException", "The requested quota does not exist.");
        let known = KNOWN.into_iter().find(|(code, _)| asked.text("QuotaCode") == Some(code));
        let (code, name) = known.filter(|_| asked.text("ServiceCode") == Some("ec2")).ok_or_else(unknown)?;
        let limit = match code {
            STANDARD => self.rules.vcpu_limit,
            code => self.quotas.get(code).copied(),
        };
        Ok((code, name, limit.unwrap_or(PLENTY)))
    }
}

//! Spot: instances that Amazon may take back, two minutes after it has said so.

use crate::cloud::call::Call;
use crate::model::Market;
use crate::problem::Problem;
use crate::query::Asked;
use crate::xml::Xml;

pub fn read_market(asked: &Asked<'_>) -> Result<Market, Problem> {
    let options = asked.within("InstanceMarketOptions");
    match options.text("MarketType") {
        None => Ok(Market::OnDemand),
        Some("spot") => {
            let spot = options.within("SpotOptions");
            let interruption = spot.text("InstanceInterruptionBehavior").unwrap_or("terminate");
            let persistent = spot.text("SpotInstanceType") == Some("persistent");
            if !matches!(interruption, "terminate" | "stop" | "hibernate") {
                return Err(Problem::value("InstanceInterruptionBehavior", interruption, "Unknown behaviour."));
            }
            if interruption != "terminate" && !persistent {
                let message = "Stop and hibernate are supported for persistent Spot requests only";
                return Err(Problem::combination(message));
            }
            Ok(Market::Spot { interruption: interruption.to_owned() })
        }
        Some(other) => Err(Problem::value("MarketType", other, "It must be spot.")),
    }
}

/// Spot requests have short ids.
pub fn request_id(call: &mut Call<'_>) -> String {
    let number = call.shared.count();
    format!("sir-{:08x}", crate::seed::dice(call.rules.seed, &format!("sir {number}")) & 0xffff_ffff)
}

/// Ends the request; its instance runs on.
pub fn cancel(call: &mut Call<'_>, asked: &Asked<'_>, xml: &mut Xml) -> Result<(), Problem> {
    let ids = asked.list("SpotInstanceRequestId");
    for id in &ids {
        if !call.place.instances.all().any(|instance| instance.spot_request.as_deref() == Some(*id)) {
            let message = format!("The spot instance request ID '{id}' does not exist");
            return Err(Problem::client("InvalidSpotInstanceRequestID.NotFound", message));
        }
    }
    xml.list("spotInstanceRequestSet", ids, |xml, id| {
        xml.value("spotInstanceRequestId", id).value("state", "cancelled");
    });
    Ok(())
}

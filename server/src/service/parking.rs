//! What parking means for what is, or would be, of a template's version: the figures behind [`crate::domain::parking`].

use app::api::{ApiError, ParkView};
use app::portal::SignedIn;

use super::catalog::Offered;
use super::{Service, orders};
use crate::domain::parking;
use crate::domain::template::{Values, compile};
use crate::domain::topology::Topology;
use crate::store::EnvironmentRecord;

/// Of an order that leaves everything to its defaults; `None` where it cannot be ordered.
pub(super) async fn of_template(
    service: &Service,
    by: &SignedIn,
    offered: &Offered,
) -> Result<Option<ParkView>, ApiError> {
    let Ok((provisioner, capabilities)) = service.places.of(&offered.template) else { return Ok(None) };
    let defaults = offered.template.parameters.iter();
    let defaults = defaults.filter_map(|parameter| Some((parameter.name.clone(), parameter.default.clone()?)));
    let values = Values { plain: defaults.collect(), ..Values::default() };
    let topology = compile(&offered.template, "", &values, orders::sharing(&capabilities));
    view(service, (&by.team_id, &offered.version_id, provisioner), &topology).await.map(Some)
}

pub(super) async fn of_environment(service: &Service, record: &EnvironmentRecord) -> Result<ParkView, ApiError> {
    let made = (record.team_id.as_str(), record.template_version_id.as_str(), record.provisioner.as_str());
    view(service, made, &record.facts.topology).await
}

/// `made`: team, template version and provisioner.
async fn view(service: &Service, made: (&str, &str, &str), topology: &Topology) -> Result<ParkView, ApiError> {
    let price = service.machines.price_at_rest(made.2, &parking::at_rest(topology));
    let way_back = service.resumes.usual(&service.store, made, service.clock.now()).await?;
    Ok(parking::view(topology, price, way_back))
}

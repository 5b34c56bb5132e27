//! Ordering: from a form's values to rows, in one transaction.

use std::collections::BTreeMap;

use app::api::{ApiError, EnvironmentDetail, FieldError, OrderRequest};
use app::portal::SignedIn;
use provisioners::Capabilities;
use serde_json::json;

use super::copies::Origin;
use super::trouble::failed;
use super::{Service, access, catalog, copies, environments, names};
use crate::domain::template::names::{LABEL, is_label};
use crate::domain::template::{self, Values};
use crate::domain::topology::Sharing;
use crate::domain::{schedule, template::compile};
use crate::store::{self, NewEnvironment, OrderKey, Ordered, Quota, StoreError};

/// Enough for everything but a mistake or malice.
pub(super) const QUOTA: Quota = Quota { per_person: 1_000, per_team: 100_000 };
/// Made-up names that may be taken before the person is asked for one.
const NAME_ATTEMPTS: u32 = 5;

pub(super) async fn order(
    service: &Service,
    by: &SignedIn,
    order: OrderRequest,
    request_id: Option<&str>,
) -> Result<EnvironmentDetail, ApiError> {
    check_request_id(request_id)?;
    let digest = service.key.fingerprint(&serde_json::to_vec(&order).map_err(|_| ApiError::internal())?);
    // Before anything else: the answer to a repeated order does not depend on what has changed since.
    if let Some(request_id) = request_id
        && let Some((environment, known)) =
            service.store.order_before(&by.person_id, request_id).await.map_err(failed)?
    {
        return if known == digest {
            environments::environment(service, by, &environment).await
        } else {
            Err(key_reused())
        };
    }
    let (offered, values) = checked(service, by, &order).await?;
    let owner = owner(service, by, &order).await?;
    let origin = match &order.data {
        Some(data) => copies::origin(service, by, data).await?,
        None => None,
    };
    let key = request_id.map(|request_id| OrderKey { request_id, digest: &digest });
    for attempt in 0.. {
        let name = match &order.name {
            Some(name) => name.clone(),
            None => names::made_up(&offered.template.name, random()?, attempt),
        };
        let mut new = environment(service, by, &offered, &values, name, origin.as_ref())?;
        new.owner_id.clone_from(&owner);
        if let Some(origin) = &origin {
            new.copied = origin.fits(&new.topology)?;
        }
        let committed = match commit(service, by, &order.template, &new, key, origin.as_ref()).await {
            Err(StoreError::Stale) => {
                return Err(ApiError::conflict("That snapshot was deleted meanwhile").with_detail("Choose another."));
            }
            committed => committed.map_err(failed)?,
        };
        return match committed {
            Ordered::Created => {
                service.catalogs.forget(&by.person_id);
                if let Some(origin) = &origin {
                    service.bell.ring(origin.environment());
                }
                service.bell.ring(&new.id);
                environments::environment(service, by, &new.id).await
            }
            Ordered::Repeated { environment } => environments::environment(service, by, &environment).await,
            Ordered::NameTaken if order.name.is_none() && attempt + 1 < NAME_ATTEMPTS => continue,
            refused => Err(refusal(&refused, &new.name, owner == by.person_id)),
        };
    }
    Err(ApiError::internal())
}

/// Why there is no new environment of this name; `own`: it would have been for the person who asked.
pub(super) fn refusal(ordered: &Ordered, name: &str, own: bool) -> ApiError {
    match ordered {
        Ordered::NameTaken => ApiError {
            fields: vec![FieldError { field: "name".into(), message: "is taken; choose another".into() }],
            ..ApiError::conflict(format!("There is an environment “{name}” already"))
        },
        Ordered::KeyReused => key_reused(),
        Ordered::PersonQuota { limit } => {
            let whose = if own { "You have" } else { "They have" };
            ApiError::conflict(format!("{whose} {limit} environments"))
                .with_detail("That is as many as one person may have. Delete some first.")
        }
        Ordered::TeamQuota { limit } => ApiError::conflict(format!("Your team has {limit} environments"))
            .with_detail("That is as many as one team may have. Delete some first."),
        // No refusals.
        Ordered::Created | Ordered::Repeated { .. } => ApiError::internal(),
    }
}

async fn commit(
    service: &Service,
    by: &SignedIn,
    template: &str,
    new: &NewEnvironment,
    key: Option<OrderKey<'_>>,
    origin: Option<&Origin>,
) -> Result<Ordered, StoreError> {
    let now = service.clock.now();
    let mut tx = service.store.write().await?;
    let ordered = tx.order(new, key, QUOTA, now).await?;
    if ordered == Ordered::Created {
        let mut detail = json!({ "template": template, "environment": new.id, "owner": new.owner_id });
        if let Some(origin) = origin {
            detail["data"] = origin.begin(&mut tx, by, new, now).await?;
        }
        service.audit(&mut tx, by, "order", &new.name, detail).await?;
    }
    if matches!(ordered, Ordered::Created | Ordered::Repeated { .. }) {
        // A repeated one too: the first may be on its way to the disk still, and nobody is told of it before it is there.
        tx.commit().await?;
    }
    Ok(ordered)
}

/// The template and the values, all of the order's mistakes told at once.
pub(super) async fn checked(
    service: &Service,
    by: &SignedIn,
    order: &OrderRequest,
) -> Result<(catalog::Offered, Values), ApiError> {
    let mut wrong = Vec::new();
    if order.name.as_ref().is_some_and(|name| !is_label(name)) {
        wrong.push(FieldError { field: "name".into(), message: format!("should be {LABEL}") });
    }
    let (template, version) = (&order.template, order.version.as_deref());
    let offered = catalog::to_order(&service.store, &by.team_id, template, version, &service.places).await?;
    match template::resolve(&offered.template, &order.parameters) {
        Ok(values) if wrong.is_empty() => Ok((offered, values)),
        Ok(_) => Err(ApiError::invalid(wrong)),
        Err(more) => {
            wrong.extend(more);
            Err(ApiError::invalid(wrong))
        }
    }
}

pub(super) fn environment(
    service: &Service,
    by: &SignedIn,
    offered: &catalog::Offered,
    values: &Values,
    name: String,
    origin: Option<&copies::Origin>,
) -> Result<NewEnvironment, ApiError> {
    let now = service.clock.now();
    let id = store::id(now);
    let gone = |why: String| {
        ApiError::conflict(format!("“{}” cannot be ordered here", offered.template.name)).with_detail(why)
    };
    let place = match origin {
        None => service.places.of(&offered.template),
        Some(origin) => origin.place(&service.places, &offered.template),
    };
    let (provisioner, capabilities) = place.map_err(gone)?;
    let topology = compile(&offered.template, &name, values, sharing(&capabilities));
    let sealed_secrets = sealed(service, &id, values)?;
    Ok(NewEnvironment {
        id,
        team_id: by.team_id.clone(),
        owner_id: by.person_id.clone(),
        orderer_id: by.person_id.clone(),
        orderer_name: by.name.clone(),
        name,
        template_version_id: offered.version_id.clone(),
        provisioner: provisioner.to_owned(),
        parameters: values.plain.clone(),
        sealed_secrets,
        upcoming: schedule::upcoming(&topology, None, now),
        topology,
        copied: Vec::new(),
    })
}

/// As the database keeps an environment's secrets; `None` when there are none.
pub(super) fn sealed(service: &Service, environment: &str, values: &Values) -> Result<Option<String>, ApiError> {
    if values.secrets.is_empty() {
        return Ok(None);
    }
    let secrets: BTreeMap<String, String> =
        values.secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().to_string())).collect();
    let sealed = service.key.seal(environment, &secrets).map_err(|error| {
        tracing::error!(%error, "secret parameters could not be sealed");
        ApiError::internal()
    })?;
    Ok(Some(sealed))
}

/// Id of the person it is for. One's own data may be given to a colleague; all else people order for themselves.
async fn owner(service: &Service, by: &SignedIn, order: &OrderRequest) -> Result<String, ApiError> {
    let Some(name) = order.owner.as_deref().filter(|name| *name != by.name) else { return Ok(by.person_id.clone()) };
    if order.data.is_none() {
        access::administrates(by)?;
    }
    let team = service.store.people_of(&by.team_id).await.map_err(failed)?;
    let found = team.into_iter().find(|person| person.name == name && person.disabled_at.is_none());
    found.map(|person| person.id).ok_or_else(|| ApiError::field("owner", "is nobody of your team; use a sign-in name"))
}

/// How servers share volumes where an environment is.
pub(super) fn sharing(capabilities: &Capabilities) -> Sharing {
    match capabilities.shared_volumes {
        true => Sharing::OneDisk,
        false => Sharing::Copies,
    }
}

fn check_request_id(request_id: Option<&str>) -> Result<(), ApiError> {
    let fine = |id: &str| (1..=200).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match request_id {
        Some(id) if !fine(id) => Err(ApiError::field("idempotency-key", "has 1 to 200 visible ASCII characters")),
        _ => Ok(()),
    }
}

fn key_reused() -> ApiError {
    ApiError {
        fields: vec![FieldError { field: "idempotency-key".into(), message: "was used for another order".into() }],
        ..ApiError::conflict("This Idempotency-Key was used for another order")
    }
    .with_detail("Give each order a key of its own.")
}

/// For a made-up name.
pub(super) fn random() -> Result<[u8; 3], ApiError> {
    let mut bytes = [0; 3];
    getrandom::fill(&mut bytes).map_err(|_| ApiError::internal())?;
    Ok(bytes)
}

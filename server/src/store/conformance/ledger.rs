//! What provisioners rely on.

use provisioners::{EnvironmentId, Ledger, Page, PageChange};

use super::Fixture;
use crate::store::StoredLedger;

pub(super) async fn of_two_who_change_a_page_one_is_told_to_read_again(fixture: Fixture) {
    let ledger = |provisioner: &str| StoredLedger { store: fixture.store.clone(), provisioner: provisioner.to_owned() };
    let (frankfurt, dublin) = (ledger("frankfurt"), ledger("dublin"));
    let (one, other) = (EnvironmentId::new("one"), EnvironmentId::new("other"));
    let change = |environment: &EnvironmentId, key: &str, from: i64, body: Option<&str>| PageChange {
        environment: environment.clone(),
        key: key.to_owned(),
        from,
        body: body.map(str::to_owned),
    };
    let first = [change(&one, "network", 0, Some("1")), change(&other, "network", 0, Some("2"))];
    assert_eq!(frankfurt.write(&first).await, Ok(true));
    assert_eq!(dublin.write(&first[..1]).await, Ok(true), "each provisioner has pages of its own");
    assert_eq!(frankfurt.write(&first[..1]).await, Ok(false), "it is there already");

    // The second change of a page that was read at version 1 is refused, with everything that came with it.
    assert_eq!(frankfurt.write(&[change(&one, "network", 1, Some("3"))]).await, Ok(true));
    let late = [change(&one, "server", 0, Some("4")), change(&one, "network", 1, Some("5"))];
    assert_eq!(frankfurt.write(&late).await, Ok(false));
    let page = |environment: &EnvironmentId, version: i64, body: &str| Page {
        environment: environment.clone(),
        key: "network".to_owned(),
        version,
        body: body.to_owned(),
    };
    assert_eq!(frankfurt.read(&[one.clone(), other.clone()]).await, Ok(vec![page(&one, 2, "3"), page(&other, 1, "2")]));
    assert_eq!(frankfurt.read(&[]).await, Ok(vec![]));
    assert_eq!(ledger("renamed").read(std::slice::from_ref(&one)).await, Ok(vec![]));
    let others = ledger("renamed").read_others(std::slice::from_ref(&one)).await;
    assert_eq!(others, Ok(vec![vec![page(&one, 1, "1")], vec![page(&one, 2, "3")]]), "each one's for itself");
    assert_eq!(frankfurt.read_others(std::slice::from_ref(&other)).await, Ok(vec![vec![]]));

    assert_eq!(frankfurt.write(&[change(&other, "network", 2, None)]).await, Ok(false));
    assert_eq!(frankfurt.write(&[change(&other, "network", 1, None)]).await, Ok(true));
    assert_eq!(frankfurt.environments().await, Ok(vec![one]));
}

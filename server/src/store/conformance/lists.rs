//! Lists of environments: narrowed, sorted, in pages.

use app::api::{EnvironmentSort, EnvironmentSummary, State};
use sqlx::{AssertSqlSafe, Executor};

use super::{Fixture, PLENTY};
use crate::store::{Cursor, EnvironmentFilter, Ordered};

pub(super) async fn lists_are_filtered_and_come_in_pages(at: Fixture) {
    for number in 0..7 {
        at.order(&at.new_environment(&format!("shop-{number}"), if number < 3 { "p" } else { "q" }), None, PLENTY)
            .await;
    }
    let list = async |filter: EnvironmentFilter| {
        let page = at.store.environments("t", &filter).await.unwrap();
        (page.items.into_iter().map(|item| item.name).collect::<Vec<_>>(), page.next)
    };
    let all = EnvironmentFilter { limit: 5, ..EnvironmentFilter::default() };
    let (names, next) = list(all.clone()).await;
    assert_eq!(names, ["shop-6", "shop-5", "shop-4", "shop-3", "shop-2"]);
    assert_eq!(
        list(EnvironmentFilter { cursor: next.as_deref().and_then(Cursor::parse), ..all.clone() }).await,
        (vec!["shop-1".into(), "shop-0".into()], None)
    );
    assert_eq!(list(EnvironmentFilter { owner: "anna".into(), ..all.clone() }).await.0.len(), 3);
    assert_eq!(list(EnvironmentFilter { search: "P-6".into(), ..all.clone() }).await.0, ["shop-6"]);
    assert!(list(EnvironmentFilter { search: "p_6".into(), ..all.clone() }).await.0.is_empty(), "no wildcards");
    assert!(list(EnvironmentFilter { search: "' or 1=1 --".into(), ..all.clone() }).await.0.is_empty());
    assert!(list(EnvironmentFilter { states: vec![State::Ready, State::Parked], ..all.clone() }).await.0.is_empty());
    assert_eq!(list(EnvironmentFilter { states: vec![State::Ready, State::Ordered], ..all }).await.0.len(), 5);
}

pub(super) async fn a_list_in_any_order_is_the_same_whole_or_in_pages(at: Fixture) {
    let states = ["ready", "failed", "parked", "starting", "ready", "failed", "parked"];
    for (number, state) in states.into_iter().enumerate() {
        let owner = if number % 2 == 0 { "p" } else { "q" };
        let new = at.new_environment(&format!("shop-{}", (number * 3) % 7), owner);
        assert_eq!(at.order(&new, None, PLENTY).await, Ordered::Created);
        let event = if number % 3 == 0 { "null".to_owned() } else { (9_000 - number).to_string() };
        let sql = format!(
            "update environment set state = '{state}', next_event_at = {event}, next_event_action = \
             case when {event} is null then null else 'park' end where id = '{}'",
            new.id
        );
        let mut tx = at.store.write().await.unwrap();
        tx.connection().execute(AssertSqlSafe(sql)).await.unwrap();
        tx.commit().await.unwrap();
    }
    for sort in [EnvironmentSort::Newest, EnvironmentSort::Name, EnvironmentSort::State, EnvironmentSort::NextEvent] {
        for owner in ["", "anna"] {
            let all = EnvironmentFilter { sort, owner: owner.into(), limit: 100, ..EnvironmentFilter::default() };
            let whole = at.store.environments("t", &all).await.unwrap().items;
            assert_eq!(whole.len(), if owner.is_empty() { 7 } else { 4 });
            let (mut parts, mut cursor) = (Vec::new(), None);
            loop {
                let page = EnvironmentFilter { cursor: cursor.take(), limit: 2, ..all.clone() };
                let page = at.store.environments("t", &page).await.unwrap();
                parts.extend(page.items);
                let Some(next) = page.next else { break };
                cursor = Some(Cursor::parse(&next).unwrap());
            }
            assert_eq!(whole, parts, "{sort:?} of {owner:?}");
            match sort {
                EnvironmentSort::Newest => assert!(whole.is_sorted_by(|one, other| one.id > other.id)),
                EnvironmentSort::Name => assert!(whole.is_sorted_by(|one, other| one.name < other.name)),
                EnvironmentSort::State => {
                    let order = [State::Failed, State::Starting, State::Ready, State::Parked];
                    assert!(whole.is_sorted_by_key(|one| order.iter().position(|state| *state == one.state)));
                }
                EnvironmentSort::NextEvent => {
                    let at = |one: &EnvironmentSummary| one.next_event.as_ref().map_or(i64::MAX, |next| next.at);
                    assert!(whole.is_sorted_by_key(at));
                    assert!(whole[0].next_event.is_some());
                }
            }
        }
    }
    let narrowed = async |filter: EnvironmentFilter| {
        at.store.environments("t", &EnvironmentFilter { limit: 9, ..filter }).await.unwrap().items.len()
    };
    assert_eq!(narrowed(EnvironmentFilter { template: "shop".into(), ..EnvironmentFilter::default() }).await, 7);
    assert_eq!(narrowed(EnvironmentFilter { template: "other".into(), ..EnvironmentFilter::default() }).await, 0);
    assert_eq!(narrowed(EnvironmentFilter { provisioner: "moon".into(), ..EnvironmentFilter::default() }).await, 0);
    assert_eq!(narrowed(EnvironmentFilter { states: vec![State::Deleted], ..EnvironmentFilter::default() }).await, 0);
}

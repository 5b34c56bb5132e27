//! Where an environment's servers may find their portal, whose addresses may change from hour to hour. Pure: says what its group is
//! to let out and what not any more, for `network` to ask for.
//!
//! What was the portal's address once is somebody else's sooner or later, and a group has room for few rules; but several portals
//! may know different ones, and connections last. So each rule is remembered from before it is asked for until it was taken back,
//! with when a portal was last known to be there.

use std::cmp::Reverse;

use super::amazon::Rule;
use super::records::{Network, Way};

const RENEWED_MS: i64 = 6 * 3_600_000;
/// A day, however long ago it was written down anew.
const KEPT_MS: i64 = 24 * 3_600_000 + RENEWED_MS;
/// Of those where no portal is any more, together with those where one is. Amazon's usual most for all rules is 60.
const MOST: usize = 40;

/// As they are to be written down before anything is asked for: those that are wanted are among them, those that are to be taken
/// back are not open any more.
pub fn ahead(network: &Network, wanted: &[Rule], now: i64) -> Vec<Way> {
    let earlier = network.portal.iter().map(|rule| Way { rule: rule.clone(), wanted_at: now, open: true });
    let mut ways: Vec<Way> = network.ways.iter().cloned().chain(earlier).collect();
    for rule in wanted {
        match ways.iter_mut().find(|way| way.rule == *rule) {
            Some(way) if now < way.wanted_at + RENEWED_MS => {}
            Some(way) => way.wanted_at = now,
            None => ways.push(Way { rule: rule.clone(), wanted_at: now, open: false }),
        }
    }
    let over = over(&ways, wanted, now);
    ways.iter_mut().filter(|way| over.contains(way)).for_each(|way| way.open = false);
    ways
}

/// Those that are to be asked for.
pub fn wanting(ways: &[Way], wanted: &[Rule]) -> Vec<Rule> {
    let ways = ways.iter().filter(|way| !way.open && wanted.contains(&way.rule));
    ways.map(|way| way.rule.clone()).collect()
}

/// Those that are to be taken back: no portal is there for a day, or there are too many.
pub fn over(ways: &[Way], wanted: &[Rule], now: i64) -> Vec<Way> {
    let mut former: Vec<&Way> = ways.iter().filter(|way| !wanted.contains(&way.rule)).collect();
    former.sort_by_key(|way| Reverse(way.wanted_at));
    let room = MOST.saturating_sub(ways.len() - former.len());
    let is_over = |(index, way): &(usize, &Way)| *index >= room || now >= way.wanted_at + KEPT_MS;
    former.into_iter().enumerate().filter(is_over).map(|(_, way)| way.clone()).collect()
}

/// Nothing is to be written down or asked for.
pub fn are_right(network: &Network, wanted: &[Rule], now: i64) -> bool {
    let ahead = ahead(network, wanted, now);
    ahead == network.ways && wanting(&ahead, wanted).is_empty() && over(&ahead, wanted, now).is_empty()
}

/// After Amazon has accepted what was asked for. What was taken back is forgotten, unless a portal has wanted it again meanwhile.
pub fn behind(ways: &[Way], opened: &[Rule], closed: &[Way]) -> Vec<Way> {
    let after = ways.iter().filter(|way| !closed.contains(way)).cloned();
    let is_closed = |way: &Way| closed.iter().any(|closed| closed.rule == way.rule);
    after.map(|way| Way { open: !is_closed(&way) && (way.open || opened.contains(&way.rule)), ..way }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;

    fn rules(networks: &[&str]) -> Vec<Rule> {
        networks.iter().map(|network| Rule::Port { network: (*network).to_owned(), port: 443 }).collect()
    }

    #[test]
    fn what_an_earlier_bookend_wrote_down_is_taken_back_a_day_after_it_was_read() {
        let page =
            r#"{"group":"sg-1","portal":[{"port":{"network":"10.0.0.0/24","port":443}}],"made_at":1,"delete_at":null}"#;
        let network: Network = serde_json::from_str(page).expect("a page");
        let (was, is) = (rules(&["10.0.0.0/24"]), rules(&["10.0.7.0/24"]));
        assert!(!are_right(&network, &was, DAY_MS), "it is to be written down anew");
        let ways = ahead(&network, &is, DAY_MS);
        assert_eq!((wanting(&ways, &is), over(&ways, &is, DAY_MS)), (is.clone(), vec![]));

        let network = Network { ways: behind(&ways, &is, &[]), portal: Vec::new(), ..network };
        assert!(are_right(&network, &is, DAY_MS + 1) && are_right(&network, &was, DAY_MS + 1));
        let later = 3 * DAY_MS;
        let ways = ahead(&network, &is, later);
        let closed = over(&ways, &is, later);
        assert_eq!(closed.iter().map(|way| &way.rule).collect::<Vec<_>>(), was.iter().collect::<Vec<_>>());
        let network = Network { ways: behind(&ways, &[], &closed), ..network };
        assert!(are_right(&network, &is, later));
    }

    #[test]
    fn what_a_portal_wants_again_while_it_is_taken_back_is_asked_for_anew() {
        let (was, is) = (rules(&["10.0.0.0/24"]), rules(&["10.0.7.0/24"]));
        let old = Network { ways: behind(&ahead(&Network::default(), &was, 0), &was, &[]), ..Network::default() };
        let now = 2 * DAY_MS;
        let ways = ahead(&old, &is, now);
        let closed = over(&ways, &is, now);
        // Another portal reads this page meanwhile, and has its own opened before the first one's call closes it.
        let others = ahead(&Network { ways, ..Network::default() }, &was, now);
        assert_eq!(wanting(&others, &was), was);
        let others = behind(&others, &was, &[]);
        let network = Network { ways: behind(&others, &is, &closed), ..Network::default() };
        assert_eq!(wanting(&network.ways, &was), was);
    }
}

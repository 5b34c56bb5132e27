//! Of log lines.

use agent::api::LogLine;

use super::*;
use crate::domain::log::{Before, Selection};

pub(super) async fn log_lines_are_kept_once_in_order_and_within_a_bound(at: Fixture) {
    let record = at.ordered("one").await;
    let server = record.facts.observed.servers[0].id.to_string();
    let line = |seq: u64| LogLine { seq, at_ms: NOW + seq as i64, source: "main".into(), text: format!("line {seq}") };
    let append = async |generation, from: u64, to: u64, bound| {
        let lines: Vec<LogLine> = (from..=to).map(line).collect();
        let mut tx = at.store.write().await.unwrap();
        tx.append_log(&server, generation, &lines, bound, NOW).await.unwrap();
        tx.commit().await.unwrap();
    };
    append(1, 1, 3, u64::MAX).await;
    append(1, 2, 5, u64::MAX).await;
    append(1, 1, 5, u64::MAX).await;
    assert_eq!(at.store.last_log_line(&server, 1).await.unwrap(), 5);
    let web = Selection::of_server("web");
    let tail = async |count| {
        let lines = at.store.log_tail(&record.summary.id, &web, count).await.unwrap();
        lines.into_iter().map(|line| line.position).collect::<Vec<_>>()
    };
    assert_eq!(tail(10).await, ["1.1", "1.2", "1.3", "1.4", "1.5"]);
    assert_eq!(tail(2).await, ["1.4", "1.5"]);
    append(2, 1, 3000, 64 * 1024).await;
    assert_eq!(at.store.last_log_line(&server, 2).await.unwrap(), 3000);
    let kept = tail(10_000).await;
    assert!((500..2000).contains(&kept.len()), "{} lines", kept.len());
    assert_eq!(kept.last().unwrap(), "2.3000");
    assert!(at.store.log_tail(&record.summary.id, &Selection::of_server("db"), 10).await.unwrap().is_empty());
    // Those before others, those with a word in them, and all of them from the front.
    let before = Before { at: 0, positions: [("web".to_owned(), (2, 2900))].into() };
    let earlier = Selection { before: Some(before), search: Some("LINE 27".into()), ..Selection::default() };
    let found = at.store.log_tail(&record.summary.id, &earlier, 3).await.unwrap();
    assert_eq!(
        found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["line 2797", "line 2798", "line 2799"]
    );
    let (mut whole, mut after) = (Vec::new(), LogPlace::START);
    while let Some((lines, next)) = at.store.log_after(&server, "web", after).await.unwrap() {
        whole.extend(lines.into_iter().map(|line| line.position));
        after = next;
    }
    assert_eq!(whole, kept);
}

//! Writes that are given up in the middle.

use super::*;

pub(super) async fn a_write_that_is_dropped_undoes_itself_alone(at: Fixture) {
    let note = |number: i64| crate::domain::note::Note::new("note", number.to_string());
    let environment = at.ordered("one").await.summary.id;
    let writes = (0..60).map(|number| {
        let (store, environment, note) = (at.store.clone(), environment.clone(), note(number));
        tokio::spawn(async move {
            let mut tx = store.write().await.unwrap();
            tx.add_event(&environment, &note, None, NOW + number).await.unwrap();
            match number % 3 {
                0 => drop(tx),
                1 => tx.commit().await.unwrap(),
                _ => {
                    // A statement that fails takes its own transaction along, no other.
                    assert!(tx.connection().execute("insert into team (id, name) values ('t', 'x')").await.is_err());
                }
            }
        })
    });
    for written in futures::future::join_all(writes).await {
        written.unwrap();
    }
    let events = at.store.timeline(&environment, None, 200).await.unwrap().items;
    let mut kept: Vec<i64> = events.iter().filter_map(|event| event.message.parse().ok()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..60).filter(|number| number % 3 == 1).collect::<Vec<_>>());
}

pub(super) async fn who_leaves_at_any_moment_of_a_write_takes_nobody_along(at: Fixture) {
    let environment = at.ordered("one").await.summary.id;
    let mut stayed = 0;
    for patience in (0..16).cycle().take(160) {
        let write = |staying: bool| {
            let (store, environment) = (at.store.clone(), environment.clone());
            async move {
                let mut tx = store.write().await?;
                let note = crate::domain::note::Note::new("note", if staying { "stayed" } else { "left" });
                tx.add_event(&environment, &note, None, NOW).await?;
                tx.commit().await
            }
        };
        let (one, other) = (tokio::spawn(write(true)), tokio::spawn(write(true)));
        tokio::spawn(impatient(write(false), patience)).await.unwrap();
        one.await.unwrap().unwrap();
        other.await.unwrap().unwrap();
        stayed += 2;
    }
    let sql = "select count(*) from timeline_event where message = 'stayed'";
    let mut connection = at.store.read().await.unwrap();
    let kept: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await.unwrap();
    assert_eq!(kept, stayed);
}

/// Polls a future this many times, then goes away whatever has become of it.
async fn impatient(future: impl Future, polls: usize) {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 || future.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

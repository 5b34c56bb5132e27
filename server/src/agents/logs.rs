//! The way of log lines into the database: collected across all servers for a moment, stored in one transaction, then shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};

use super::{AgentDirectory, LogBatch};

/// How long the first line of a transaction waits for others to join it.
const COLLECTING_TIME: Duration = Duration::from_millis(100);
/// Text of one transaction, in bytes.
const COLLECTED_BYTES: usize = 256 * 1024;
/// Batches waiting for the writer. When it is full agents are read more slowly; they keep the lines.
const WAITING_BATCHES: usize = 256;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Starts the one writer. It ends when the last sender is dropped and everything is stored.
pub(super) fn start_writer(
    directory: Arc<dyn AgentDirectory>,
    stored: broadcast::Sender<Arc<LogBatch>>,
) -> mpsc::Sender<LogBatch> {
    let (sender, mut incoming) = mpsc::channel(WAITING_BATCHES);
    tokio::spawn(async move {
        while let Some(batches) = collect(&mut incoming).await {
            store(&*directory, &batches).await;
            for batch in batches {
                // Nobody may be following.
                stored.send(Arc::new(batch)).ok();
            }
        }
    });
    sender
}

/// Everything that comes within the collecting time, one batch per server and generation; `None` at the end.
async fn collect(incoming: &mut mpsc::Receiver<LogBatch>) -> Option<Vec<LogBatch>> {
    let mut collected = vec![incoming.recv().await?];
    let mut bytes = size(&collected[0]);
    let deadline = tokio::time::sleep(COLLECTING_TIME);
    tokio::pin!(deadline);
    while bytes < COLLECTED_BYTES {
        let batch = tokio::select! {
            () = &mut deadline => break,
            next = incoming.recv() => match next {
                Some(batch) => batch,
                None => break,
            },
        };
        bytes += size(&batch);
        match collected.iter_mut().find(|other| other.server == batch.server && other.generation == batch.generation) {
            Some(earlier) => earlier.lines.extend(batch.lines),
            None => collected.push(batch),
        }
    }
    Some(collected)
}

/// Does not give up: the lines were taken from the agents, and a database that is away comes back.
async fn store(directory: &dyn AgentDirectory, batches: &[LogBatch]) {
    let mut delay = FIRST_RETRY;
    while let Err(error) = directory.append_logs(batches).await {
        tracing::warn!(%error, "cannot store log lines; trying again");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_RETRY);
    }
}

fn size(batch: &LogBatch) -> usize {
    batch.lines.iter().map(|line| line.text.len() + line.source.len() + 32).sum()
}

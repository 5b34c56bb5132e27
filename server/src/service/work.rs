//! Something long that is done for as long as somebody listens: how far it has come, then what came of it.

use app::api::{ApiError, Work, WorkView};
use app::portal::Live;
use futures::future::BoxFuture;
use futures::stream;
use provisioners::DataProgress;
use tokio::sync::watch;

struct Going<T> {
    heard: watch::Receiver<DataProgress>,
    work: BoxFuture<'static, Result<T, ApiError>>,
}

/// What is heard of this work until it is over. Whoever drops it drops the work.
pub fn follow<T: Send + 'static>(
    heard: watch::Receiver<DataProgress>,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Live<Work<T>> {
    Box::pin(stream::unfold(Some(Going { heard, work: Box::pin(work) }), next))
}

async fn next<T>(going: Option<Going<T>>) -> Option<(Work<T>, Option<Going<T>>)> {
    let mut going = going?;
    let heard = async {
        match going.heard.changed().await {
            Ok(()) => view(&going.heard.borrow_and_update()),
            // Nothing more is told of it.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        done = &mut going.work => Some((match done {
            Ok(result) => Work::Done { result },
            Err(error) => Work::Failed { error },
        }, None)),
        progress = heard => Some((Work::Going { progress }, Some(going))),
    }
}

pub fn view(progress: &DataProgress) -> WorkView {
    let DataProgress { passed_ms, done_bytes, total_bytes, .. } = *progress;
    WorkView { passed_ms, done_bytes, total_bytes }
}

//! A page that tells of something long: it is shown at once, how far it has come is added to it as it goes, and in the end
//! what came of it; without any script. Who leaves the page drops the work.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use leptos::prelude::*;

use super::page::{Page, html_headers, in_its_zone, render};
use super::visit::Visit;
use crate::api::{ApiError, Work};
use crate::components::progress;
use crate::portal::Live;
use crate::words::far;

/// Stands in a page where its pieces go.
const HERE: &str = "<!--later-->";
/// What is over before is not worth a word.
const NOT_BEFORE_MS: u64 = 700;
/// Proxies are not to hold pieces back, and nothing is to compress them: it would wait for more.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Of all pieces the last one shows.
pub(crate) fn later() -> impl IntoView {
    view! { <div class="later" inner_html=HERE></div> }
}

/// Answers with a page that has a [`later`] in it. `doing` is what the work is: "Comparing"; `ended` makes the last piece.
pub(crate) fn answer_later<T, V>(
    visit: &Visit,
    page: Page,
    work: Live<Work<T>>,
    doing: &'static str,
    ended: impl FnOnce(Result<T, ApiError>) -> V + Send + 'static,
) -> Response
where
    T: Send + 'static,
    V: IntoView + 'static,
{
    let html = render(visit, page);
    let (before, after) = html.split_once(HERE).unwrap_or((&html, ""));
    let last = visit.clone();
    let pieces = Pieces {
        before: Some(before.to_owned()),
        work: Some(work),
        doing,
        ended: Some(Box::new(move |outcome| in_its_zone(&last, || ended(outcome).to_html()))),
        after: Some(after.to_owned()),
    };
    (html_headers(), [UNBUFFERED], Body::from_stream(pieces)).into_response()
}

/// Makes the last piece, as HTML.
type Ended<T> = Box<dyn FnOnce(Result<T, ApiError>) -> String + Send>;

struct Pieces<T> {
    before: Option<String>,
    work: Option<Live<Work<T>>>,
    doing: &'static str,
    ended: Option<Ended<T>>,
    after: Option<String>,
}

impl<T> Unpin for Pieces<T> {}

impl<T> Stream for Pieces<T> {
    type Item = Result<String, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(before) = self.before.take() {
            return Poll::Ready(Some(Ok(before)));
        }
        while let Some(work) = &mut self.work {
            let outcome = match ready!(work.as_mut().poll_next(context)) {
                Some(Work::Going { progress }) if progress.passed_ms < NOT_BEFORE_MS => continue,
                Some(Work::Going { progress }) => return Poll::Ready(Some(Ok(going(self.doing, &progress)))),
                Some(Work::Done { result }) => Ok(result),
                Some(Work::Failed { error }) => Err(error),
                None => Err(ApiError::internal()),
            };
            self.work = None;
            if let Some(ended) = self.ended.take() {
                return Poll::Ready(Some(Ok(ended(outcome))));
            }
        }
        Poll::Ready(self.after.take().map(Ok))
    }
}

fn going(doing: &'static str, work: &crate::api::WorkView) -> String {
    let share = (work.total_bytes > 0).then(|| work.done_bytes as f64 / work.total_bytes as f64);
    let words = match far(work) {
        far if far.is_empty() => format!("{doing}…"),
        far => format!("{doing}: {far}"),
    };
    Owner::new().with(|| progress(share, words, "Leaving this page ends it.").to_html())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::api::WorkView;

    struct Told(Vec<Work<u8>>);

    impl Stream for Told {
        type Item = Work<u8>;
        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Work<u8>>> {
            Poll::Ready((!self.0.is_empty()).then(|| self.0.remove(0)))
        }
    }

    #[tokio::test]
    async fn what_is_soon_over_is_shown_alone_and_what_is_not_tells_how_far_it_is() {
        let at =
            |passed_ms| Work::Going { progress: WorkView { passed_ms, done_bytes: 10 << 20, total_bytes: 40 << 20 } };
        let mut pieces = Pieces {
            before: Some("<main>".into()),
            work: Some(Box::pin(Told(vec![at(10), at(10_000), Work::Done { result: 7 }]))),
            doing: "Comparing",
            ended: Some(Box::new(|outcome| format!("{outcome:?}"))),
            after: Some("</main>".into()),
        };
        let mut sent = Vec::new();
        while let Some(Ok(piece)) = poll_fn(|context| Pin::new(&mut pieces).poll_next(context)).await {
            sent.push(piece);
        }
        let [before, going, ended, after] = sent.as_slice() else { panic!("{sent:#?}") };
        assert_eq!((before.as_str(), ended.as_str(), after.as_str()), ("<main>", "Ok(7)", "</main>"));
        assert!(going.contains("Comparing: 25 %, 10 MiB of 40 MiB, 1 MiB/s, 31 s left"), "{going}");
        assert!(going.contains("Leaving this page ends it."), "{going}");
    }
}

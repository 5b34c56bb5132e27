//! Attack 13: another site opens a terminal by WebSocket, null and missing Origin included.

use app::api::Role;
use tests::{House, Outcome};

#[tokio::test(flavor = "multi_thread")]
async fn no_websocket_is_opened_for_another_site() -> Outcome {
    let house = House::open().await?;
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("scratch", "box").await?;
    ann.api()?.await_state("box", "ready").await?;
    let cookie = ann.cookie();
    let own = house.origin();
    let app = format!("http://8080--box--box.localhost:{}", house.address().port());
    for path in [
        "/environments/box/servers/box/terminal?session=t1&cols=80&rows=24",
        "/environments/box/servers/box/exec?request=eyJjb21tYW5kIjpbImlkIl0sInR0eSI6bnVsbCwiZGlyZWN0b3J5IjpudWxsLCJ2YXJpYWJsZXMiOnt9fQ",
        "/environments/box/servers/box/ports/22",
    ] {
        for origin in ["null", "https://evil.example", "http://127.0.0.1", "", &app, &format!("{own}.evil.example")] {
            let refused = ann.handshake(path, &[("cookie", &cookie), ("origin", origin)]).await?;
            assert_eq!(refused.status, 403, "{path} from {origin:?}");
        }
        assert_eq!(ann.handshake(path, &[("cookie", &cookie)]).await?.status, 403, "{path} from nowhere");
        let twice = [("cookie", cookie.as_str()), ("origin", &own), ("origin", "https://evil.example")];
        assert_eq!(ann.handshake(path, &twice).await?.status, 403, "{path} from two places");
        assert_eq!(ann.handshake(path, &[("origin", &own)]).await?.status, 401, "{path} by nobody");
    }
    let terminal = "/environments/box/servers/box/terminal?session=t2&cols=80&rows=24";
    let ours = ann.handshake(terminal, &[("cookie", &cookie), ("origin", &own)]).await?;
    assert_eq!(ours.status, 101, "from our own page: {:?}", ours.body);
    Ok(())
}

use super::*;
use crate::api::TemplatePort;

fn server(name: &str, needs: &[&str]) -> TemplateServer {
    TemplateServer {
        name: name.into(),
        count: 1,
        image: "host".into(),
        architecture: None,
        cpu_millis: None,
        memory_bytes: None,
        needs: needs.iter().map(|name| (*name).into()).collect(),
        ports: Vec::new(),
        mounts: Default::default(),
    }
}

fn volume(name: &str, servers: &[&str]) -> TemplateVolume {
    TemplateVolume {
        name: name.into(),
        size_bytes: 1 << 30,
        servers: servers.iter().map(|name| (*name).into()).collect(),
    }
}

fn at<'a>(drawing: &'a Drawing, title: &str) -> &'a Part {
    drawing.parts.iter().find(|part| part.title == title).unwrap()
}

#[test]
fn what_is_needed_stands_below_what_needs_it_and_volumes_at_the_foot() {
    let servers = [server("db", &[]), server("web", &["api", "db"]), server("api", &["db"]), server("cron", &[])];
    let drawing = draw(&servers, &[volume("data", &["db"]), volume("site", &["web", "api"])]);
    let y = |title| at(&drawing, title).y;
    assert_eq!(y("web"), y("cron"));
    assert!(y("web") < y("api") && y("api") < y("db") && y("db") < y("data"));
    assert_eq!(y("data"), y("site"));
}

#[test]
fn every_need_and_every_mount_is_one_line_that_runs_down() {
    let servers = [server("db", &[]), server("web", &["api", "db"]), server("api", &["db"])];
    let drawing = draw(&servers, &[volume("data", &["db", "web"])]);
    let of = |kind| drawing.lines.iter().filter(|line| line.to_kind == kind).count();
    assert_eq!((of(Kind::Server), of(Kind::Volume)), (3, 2));
    for line in &drawing.lines {
        assert!(line.from.1 < line.to.1, "{line:?}");
    }
    let (web, api) = (at(&drawing, "web"), at(&drawing, "api"));
    let expected = Line {
        to_kind: Kind::Server,
        from: (web.x + web.width / 2, web.y + web.height),
        to: (api.x + api.width / 2, api.y),
    };
    assert!(drawing.lines.contains(&expected), "{:?}", drawing.lines);
}

#[test]
fn no_two_parts_touch_and_nothing_leaves_the_picture() {
    let mut servers: Vec<TemplateServer> = (0..9).map(|number| server(&format!("s{number}"), &[])).collect();
    servers[0].needs = vec!["s3".into(), "s4".into()];
    servers[4].needs = vec!["s5".into()];
    servers[1].ports =
        (1..5).map(|port| TemplatePort { port, title: "A rather long title of a port".into() }).collect();
    let drawing = draw(&servers, &[volume("a", &["s1"]), volume("b", &[])]);
    for (number, one) in drawing.parts.iter().enumerate() {
        assert!(one.x >= 0 && one.x + one.width <= drawing.width, "{one:?}");
        assert!(one.y >= 0 && one.y + one.height <= drawing.height, "{one:?}");
        for other in &drawing.parts[number + 1..] {
            let beside = one.x + one.width < other.x || other.x + other.width < one.x;
            assert!(beside || one.y + one.height < other.y || other.y + other.height < one.y, "{one:?} {other:?}");
        }
    }
}

#[test]
fn two_parts_a_row_stand_on_a_phone() {
    let drawing = draw(&[server("web", &[]), server("api", &[])], &[volume("site", &["web", "api"])]);
    assert!(drawing.width <= 332, "{}", drawing.width);
}

#[test]
fn names_too_long_for_a_box_are_shortened_and_told_whole_in_words() {
    let mut long = server(&"x".repeat(40), &[]);
    long.count = 12;
    long.ports = vec![TemplatePort { port: 8080, title: "ä".repeat(60) }];
    let part = &draw(std::slice::from_ref(&long), &[]).parts[0];
    assert_eq!((part.title.as_str(), part.is_many), ("12 × xxxxxxx…", true));
    assert_eq!(part.notes, [format!(":8080 {}…", "ä".repeat(11))]);
    assert!(describe(&[long], &[]).contains(&"x".repeat(40)));
}

#[test]
fn needs_in_a_circle_or_of_nobody_are_drawn_all_the_same() {
    let drawing =
        draw(&[server("a", &["b"]), server("b", &["a"]), server("c", &["nobody"])], &[volume("v", &["nobody"])]);
    assert_eq!(drawing.parts.len(), 4);
    assert_eq!(draw(&[], &[]).parts.len(), 0);
}

#[test]
fn the_words_tell_what_the_picture_shows() {
    let mut web = server("web", &["db"]);
    web.count = 2;
    web.ports = vec![TemplatePort { port: 8080, title: "Guest book".into() }];
    let mut db = server("db", &[]);
    db.mounts = [("data".to_owned(), "/data".to_owned())].into();
    assert_eq!(
        describe(&[web, db], &[volume("data", &["db"])]),
        "2 servers web needs db, opens port 8080 (Guest book). Server db has volume data at /data. Volume data of 1 GiB on db."
    );
}

use super::*;
use crate::api::TemplateRecord;

fn entry(name: &str, title: &str, category: &str, tags: &[&str]) -> CatalogEntry {
    CatalogEntry {
        name: name.into(),
        version: "1".into(),
        title: title.into(),
        summary: format!("A {name} to work with."),
        category: category.into(),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        icon: None,
        maintainer: Some("Reading Room".into()),
        featured: false,
        software: Vec::new(),
        offered_since: Some(0),
        server_count: 1,
        volume_count: 0,
        unavailable: None,
        broken: None,
        asks_nothing: true,
        ordered_by_me_at: None,
        record: None,
    }
}

fn catalog() -> Vec<CatalogEntry> {
    let ordered = |orders| {
        Some(TemplateRecord {
            orders,
            last_ordered_at: 0,
            decided: 0,
            became_ready: 0,
            ready_p50_ms: None,
            ready_p95_ms: None,
        })
    };
    vec![
        CatalogEntry {
            software: vec!["psql".into()],
            offered_since: Some(5),
            ..entry("postgres-app", "PostgreSQL with a web app", "Databases", &["sql", "python"])
        },
        CatalogEntry { record: ordered(40), ..entry("queue", "Job queue", "Sets", &["python", "workers"]) },
        CatalogEntry {
            maintainer: None,
            record: ordered(2),
            ..entry("scratch", "A scratch box", "Basics", &["shell"])
        },
        entry("site", "Static site", "Web", &["python", "http"]),
    ]
}

fn choice(query: &str) -> Choice {
    Choice::of(&form_urlencoded::parse(query.as_bytes()).into_owned().collect())
}

fn names(query: &str) -> Vec<String> {
    choice(query).choose(&catalog()).entries.into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_template_is_found_by_anything_it_says_of_itself_in_any_case() {
    let by = [
        ("q=POSTGRES", vec!["postgres-app"]),
        ("q=jobs+queue", vec![]),
        ("q=job+queue", vec!["queue"]),
        ("q=queue+job", vec!["queue"]),
        ("q=workers", vec!["queue"]),
        ("q=databases", vec!["postgres-app"]),
        ("q=psql", vec!["postgres-app"]),
        ("q=reading+room", vec!["queue", "postgres-app", "site"]),
        ("q=scratch+to+work", vec!["scratch"]),
        ("q=%25", vec![]),
        ("q=++", vec!["scratch", "queue", "postgres-app", "site"]),
    ];
    for (query, expected) in by {
        assert_eq!(names(query), expected, "{query}");
    }
}

#[test]
fn whose_title_says_it_comes_before_whose_text_does() {
    let mut catalog = catalog();
    catalog.push(entry("abc", "Abacus", "Web", &["site"]));
    let found = choice("q=site").choose(&catalog).entries;
    assert_eq!(found.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["site", "abc"]);
}

#[test]
fn category_tag_and_words_narrow_together() {
    assert_eq!(names("tag=python"), ["queue", "postgres-app", "site"]);
    assert_eq!(names("tag=python&category=Web"), ["site"]);
    assert_eq!(names("tag=python&category=Web&q=job"), Vec::<String>::new());
    assert_eq!(names("category=web"), Vec::<String>::new(), "a link has the category as it is written");
    assert_eq!(names("colour=red&sort=weight&page=minus"), names(""), "what means nothing changes nothing");
}

#[test]
fn counts_tell_how_much_a_click_would_leave() {
    let pairs = |list: Vec<(String, usize)>| {
        list.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    };
    let all = choice("").choose(&catalog());
    assert_eq!(pairs(all.categories), "Basics 1, Databases 1, Sets 1, Web 1");
    assert_eq!(pairs(all.tags), "python 3, http 1, shell 1, sql 1, workers 1");
    let some = choice("tag=python&category=Web").choose(&catalog());
    assert_eq!(pairs(some.categories), "Databases 1, Sets 1, Web 1");
    assert_eq!(pairs(some.tags), "http 1, python 1");
    let none = choice("q=nothing&tag=python&category=Web").choose(&catalog());
    assert_eq!((pairs(none.categories), pairs(none.tags)), ("Web 0".into(), "python 0".into()));
}

#[test]
fn they_stand_by_title_by_age_or_by_how_often_they_were_ordered() {
    assert_eq!(names("sort=title"), ["scratch", "queue", "postgres-app", "site"]);
    assert_eq!(names("sort=newest"), ["postgres-app", "scratch", "queue", "site"]);
    assert_eq!(names("sort=most-ordered"), ["queue", "scratch", "postgres-app", "site"]);
}

#[test]
fn an_address_carries_the_whole_choice_and_nothing_more() {
    for address in ["/", "/?q=a+%26+b&category=D%C3%A4ta&tag=c%23&sort=newest&page=2", "/?tag=python"] {
        let choice = choice(address.trim_start_matches("/").trim_start_matches('?'));
        assert_eq!(choice.address(), address);
    }
    assert_eq!(choice("q=&category=&tag=&sort=title&page=1").address(), "/");
    let here = choice("q=a&category=Web&page=3");
    assert_eq!(here.with_category("Sets").address(), "/?q=a&category=Sets", "another choice begins at its first page");
    assert_eq!(here.with_category("Web").address(), "/?q=a", "the chosen one is taken back");
    assert_eq!(here.with_tag("sql").address(), "/?q=a&category=Web&tag=sql");
}

#[test]
fn a_thousand_templates_come_in_pages_that_together_are_all_of_them() {
    let thousand = || {
        (0..1000)
            .map(|number| entry(&format!("t{number:04}"), &format!("T {number:04}"), "Web", &[]))
            .collect::<Vec<_>>()
    };
    let first: Chosen = choice("").choose(&thousand());
    assert_eq!((first.entries.len(), first.count, first.pages), (60, 1000, 17));
    let mut all: Vec<String> = Vec::new();
    for page in 1..=17 {
        all.extend(choice(&format!("page={page}")).choose(&thousand()).entries.into_iter().map(|entry| entry.name));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 1000);
    let beyond = choice("page=99").choose(&thousand()).entries;
    assert_eq!((beyond.len(), beyond[0].name.as_str()), (40, "t0960"), "beyond the end is the last page");
}

fn shelves(query: &str, catalog: &[CatalogEntry]) -> Vec<(Kind, String)> {
    let names = |shelf: Shelf| {
        let names: Vec<String> = shelf.entries.into_iter().map(|entry| entry.name).collect();
        (shelf.kind, names.join(" "))
    };
    choice(query).shelves(catalog).into_iter().map(names).collect()
}

#[test]
fn what_is_near_to_hand_stands_on_one_small_shelf_each_and_only_where_nothing_is_looked_for() {
    assert_eq!(shelves("", &[]), []);
    let mut catalog = catalog();
    for (name, title) in [("e", "E"), ("d", "D"), ("c", "C"), ("b", "B")] {
        catalog.push(CatalogEntry { featured: true, ordered_by_me_at: None, ..entry(name, title, "Web", &[]) });
    }
    // "queue" and "scratch" were ordered by somebody in the team.
    assert_eq!(shelves("", &catalog), [(Kind::Team, "queue scratch".into()), (Kind::Featured, "e d c".into())]);
    for (index, entry) in
        catalog.iter_mut().enumerate().filter(|(_, entry)| ["queue", "e"].contains(&entry.name.as_str()))
    {
        entry.ordered_by_me_at = Some(index as i64);
    }
    let expected = [(Kind::Mine, "e queue"), (Kind::Team, "scratch"), (Kind::Featured, "d c b")];
    let expected = expected.map(|(kind, names)| (kind, names.to_owned()));
    assert_eq!(shelves("sort=newest", &catalog), expected);
    assert_eq!(shelves("q=e", &catalog), []);
    assert_eq!(shelves("page=2", &catalog), []);
    for entry in &mut catalog {
        entry.unavailable = Some("It needs a command.".into());
    }
    assert_eq!(shelves("", &catalog), [], "what cannot be ordered is not near to hand");
}

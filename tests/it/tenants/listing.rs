//! What a caller is shown of the list of tasks, a page at a time.

use mimi_server::tenants::Scope;

use super::{Key, Written, ask, server};
use crate::server::World;

const NAMES: [&str; 12] =
    ["a", "a.", "a.one", "a.two", "a.twofold", "ab", "all.one", "b", "b.one", "b.two", "c", "z.last"];

/// The names of all pages of so many.
async fn listed(app: &axum::Router, key: &Key, limit: usize) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/tasks?limit={limit}{after}");
        let page = ask(app, "GET", &path, Some(&key.secret)).await.json();
        let tasks = page["tasks"].as_array().unwrap_or_else(|| panic!("{page}"));
        assert!(tasks.len() <= limit);
        names.extend(tasks.iter().map(|task| task["task"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return names,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_show_what_the_patterns_name() {
    let world = World::new();
    for (number, task) in NAMES.into_iter().enumerate() {
        world.publish(task, &world.contents(number as u64 + 1, 3));
    }
    let keys = ["wide", "narrow", "nested", "nothing", "operator"].map(Key::new);
    let head = "version = 1\n[tenants.wide]\ntasks = [\"a*\"]\nuses = [\"b.one\", \"z*\"]\n\
                [tenants.narrow]\ntasks = [\"b.two\"]\nuses = [\"a.two\"]\n\
                [tenants.nested]\nuses = [\"a.two\", \"a.*\", \"a.one\", \"a.t*\", \"c\"]\n\
                [tenants.nothing]\nuses = [\"b.o\", \"zz*\"]\n[tenants.operator]\n";
    let scopes =
        |key: &Key| if key.id == "operator" { [Scope::Read, Scope::Admin] } else { [Scope::Read; 2] };
    let lines: String = keys.iter().map(|key| key.lines(&key.id, &scopes(key), "")).collect();
    let file = Written::new(&format!("{head}{lines}"));
    let app = server(&world, &file).await.app();
    let begins =
        |begins: &'static [&str]| move |name: &&str| begins.iter().any(|begin| name.starts_with(begin));
    let expected: [Vec<&str>; 5] = [
        NAMES.into_iter().filter(begins(&["a", "b.one", "z"])).collect(),
        vec!["a.two", "b.two"],
        NAMES.into_iter().filter(|name| name.starts_with("a.") || *name == "c").collect(),
        vec![],
        NAMES.to_vec(),
    ];
    for (key, expected) in keys.iter().zip(expected) {
        for limit in [1, 2, 3, 100] {
            assert_eq!(listed(&app, key, limit).await, expected, "{} by {limit}", key.id);
        }
    }
}

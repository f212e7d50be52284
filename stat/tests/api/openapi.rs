//! `/openapi.json` says what is there, and which scope each call needs.

use std::{collections::BTreeSet, path::Path};

use serde_json::{Value, json};

use crate::support::{SCOPED, World};

/// Every operation of a document: method, path, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of = |(path, item): (&String, &Value)| {
        let methods = item.as_object().expect("an item").clone();
        methods.into_iter().map(|(method, operation)| (method, path.clone(), operation)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

async fn document(world: &World) -> Value {
    // Without a key: whoever reads it is to learn how to get one.
    let response = reqwest::get(world.url(0, "/openapi.json")).await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().expect("a value"))
    );
    response.json().await.expect("JSON")
}

/// Some name for each parameter of a path.
fn filled(path: &str) -> String {
    let names = [("{conversation}", "g:team"), ("{group}", "team"), ("{user}", "alice"), ("{id}", "stat-1")];
    names.iter().fold(path.to_owned(), |path, (parameter, name)| path.replace(parameter, name))
}

#[tokio::test]
async fn each_call_needs_the_scope_that_is_described_and_no_other() {
    let world = World::start(1).await;
    let document = document(&world).await;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{document}");
    let client = reqwest::Client::new();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].to_string()), "each id once: {operation}");
        let url = world.url(0, &filled(&path));
        let ask = async |key: Option<&str>| {
            let method = method.to_uppercase().parse().expect("a method");
            let request = client.request(method, &url);
            let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
            let response = request.send().await.expect("an answer");
            (response.status().as_u16(), response.text().await.expect("text"))
        };
        let Some(needed) = operation["security"][0]["apiKey"][0].as_str() else {
            assert_eq!(path, "/openapi.json");
            continue;
        };
        assert_eq!(ask(None).await.0, 401, "{method} {path}");
        for (scope, key) in SCOPED {
            let (status, answer) = ask(Some(key)).await;
            let is_refused = status == 403 && answer.contains("does not have the scope");
            assert_eq!(
                is_refused,
                scope.as_str() != needed,
                "{method} {path} with {scope:?}: {status} {answer}"
            );
            assert!(
                operation["responses"][status.to_string()].is_object(),
                "{method} {path}: {status} {answer}"
            );
        }
    }
}

#[tokio::test]
async fn the_page_for_people_has_every_call_and_the_document_every_call_of_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let page = std::fs::read_to_string(page).expect("docs/api.md is there");
    let world = World::start(1).await;
    let document = document(&world).await;
    let operations = operations(&document);
    let literal = |path: &str| path.split('{').next().unwrap_or_default().to_owned();
    for (_, path, _) in &operations {
        let (start, end) = (literal(path), path.rsplit_once('}').map_or("", |(_, end)| end));
        let shown = |line: &str| line.split_once(&start).is_some_and(|(_, rest)| rest.contains(end));
        assert!(page.lines().any(shown), "docs/api.md does not show {path}");
    }
    let calls = page.lines().filter_map(|line| line.split_once("$API")).map(|(_, rest)| rest);
    for call in calls {
        let path = call.split([' ', '"', '?']).next().unwrap_or_default();
        let fits = |template: &str| {
            let (template, path) = (template.split('/'), path.split('/'));
            template.clone().count() == path.clone().count()
                && template.zip(path).all(|(one, other)| one.starts_with('{') || one == other)
        };
        assert!(
            operations.iter().any(|(_, template, _)| fits(template)),
            "/openapi.json does not have {path}"
        );
    }
}

#[tokio::test]
async fn what_the_document_names_is_there() {
    let world = World::start(1).await;
    let document = document(&world).await;
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(place).is_some(), "{reference}");
    }
    let tags: Vec<&Value> =
        document["tags"].as_array().expect("tags").iter().map(|tag| &tag["name"]).collect();
    for (method, path, operation) in operations(&document) {
        assert!(tags.contains(&&operation["tags"][0]), "{method} {path}: {operation}");
        assert!(operation["summary"].is_string() && operation["tags"] != json!([]), "{method} {path}");
    }
}

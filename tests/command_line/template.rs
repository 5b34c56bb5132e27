//! Templates before anybody can order them: what is wrong with a file, and what it would create.

use tests::Outcome;
use tests::programs;
use tokio::process::Command;

use super::Ran;

async fn template(words: &[&str]) -> Outcome<Ran> {
    Ok(Ran::of(Command::new(programs::bookend()).arg("template").args(words).output().await?))
}

#[tokio::test]
async fn every_mistake_is_told_with_its_place_and_what_would_be_right() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (good, bad) = (file("good.yaml"), file("bad.yaml"));
    let text = "name: good\nversion: \"1\"\ntitle: Good\nsummary: Fine.\ncategory: Basics\nservers:\n  box: {}\n";
    std::fs::write(&good, text)?;
    std::fs::write(
        &bad,
        text.replace("summary", "sumary").replace("box: {}", "box: {ports: [{port: 99999, title: Door}]}"),
    )?;

    template(&["lint", &good]).await?.ended_with(0);
    let told = template(&["lint", &good, &bad]).await?;
    assert_ne!(told.code, 0);
    let all = format!("{}{}", told.out, told.err);
    for words in ["bad.yaml:4:1: sumary", "did you mean `summary`", "bad.yaml:7:", "port", "65535"] {
        assert!(all.contains(words), "{words:?} in {all}");
    }
    assert!(!all.contains("good.yaml:1"), "{all}");
    let missing = template(&["lint", &file("absent.yaml")]).await?;
    assert!(missing.code != 0 && missing.err.contains("absent.yaml"), "{}", missing.err);
    Ok(())
}

#[tokio::test]
async fn a_plan_says_what_would_be_created_and_in_which_order() -> Outcome {
    let queue = concat!(env!("CARGO_MANIFEST_DIR"), "/../templates/queue.yaml");
    let plan = template(&["plan", queue, "--set", "workers=3"]).await?.ended_with(0).out;
    let place = |words: &str| plan.find(words).ok_or_else(|| format!("{words:?} is missing in {plan}"));
    assert!(place("private network")? < place("   queue ")?);
    assert!(place("   queue ")? < place("   worker-1 ")? && place("   worker-1 ")? < place("   worker-3 ")?);
    let refused = template(&["plan", queue, "--set", "workers=many"]).await?;
    assert!(refused.code != 0 && refused.err.contains("workers"), "{}", refused.err);
    Ok(())
}

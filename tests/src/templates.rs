//! Templates that several stories order.

/// What is on its own disk outlives a park, for the machine is only stopped; its diary tells how often it was set up.
pub const WORKBENCH: &str = r#"
name: workbench
version: "1.0.0"
title: Workbench
summary: A server that is stopped and not taken away.
category: Basics
park: stop
servers:
  box:
    setup: echo set up >> "$HOME/diary"
"#;

//! Every story of the project in one program: it links once, and a story may use every fixture.

mod agents;
mod api;
mod architecture;
mod attacks;
mod command_line;
mod ec2;
mod provisioner;
mod repository;
mod sharing;
mod starter;
mod trouble;
mod ui;

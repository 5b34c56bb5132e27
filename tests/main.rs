//! Every story of the project in one program: it links once, and a story may use every fixture.

mod architecture;
mod provisioner;

//! Every change this provisioner makes to the outside world passes one of these moments, right before and right after it.
//! The conformance stories count them and then kill or fail the portal at each in turn, so that no change, however new,
//! escapes being interrupted. Outside those stories a moment is nothing.

#[cfg(not(feature = "conformance"))]
#[inline]
pub fn moment() -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "conformance")]
pub use armed::{Trouble, arm, moment, passed};

#[cfg(feature = "conformance")]
mod armed {
    use std::io;
    use std::sync::Mutex;

    /// What happens at a moment.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Trouble {
        /// This process ends as by `kill -9`.
        Kill,
        /// The change fails as if the disk were full.
        Fail,
    }

    struct State {
        passed: u64,
        trouble: Option<(u64, Trouble)>,
    }

    static STATE: Mutex<State> = Mutex::new(State { passed: 0, trouble: None });

    /// Starts counting anew; when the count reaches `at` (from 0), trouble strikes, once.
    pub fn arm(trouble: Option<(u64, Trouble)>) {
        let mut state = STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *state = State { passed: 0, trouble };
    }

    /// Moments passed since [`arm`].
    pub fn passed() -> u64 {
        STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).passed
    }

    /// # Errors
    /// When armed to fail here.
    pub fn moment() -> io::Result<()> {
        let mut state = STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = state.passed;
        state.passed += 1;
        match state.trouble {
            Some((at, Trouble::Kill)) if at == now => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                // The signal reaches this thread before it returns to the change it was about to make.
                loop {
                    std::thread::park();
                }
            }
            Some((at, Trouble::Fail)) if at == now => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

//! Kinds of failure, and the one table that says what the outside sees of each.

/// What kind of failure an error is, whoever reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be right: a value out of range, an unknown name, a broken file handed in.
    Input,
    /// A job, image or record that was asked for by id is not there.
    Missing,
    /// Someone else holds the resource, or a queue is full; trying again later can work.
    Busy,
    /// The machine lacks something: weights, memory, disk space, network, permission.
    Environment,
    /// The user asked to stop.
    Interrupted,
    /// A promise inside tronie was broken.
    Bug,
}

impl Fault {
    /// (fault, process exit code, HTTP status).
    const TABLE: [(Fault, u8, u16); 6] = [
        (Fault::Input, 2, 422),
        (Fault::Missing, 2, 404),
        (Fault::Busy, 4, 503),
        (Fault::Environment, 3, 500),
        (Fault::Interrupted, 130, 499),
        (Fault::Bug, 101, 500),
    ];

    fn row(self) -> (Fault, u8, u16) {
        let found = Self::TABLE.into_iter().find(|row| row.0 == self);
        found.unwrap_or((self, 101, 500))
    }

    /// Exit code of the program: 2 bad input, 3 environment, 4 busy, 130 interrupted, 101 a bug.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        self.row().1
    }

    /// HTTP status of the server's answer.
    #[must_use]
    pub fn http_status(self) -> u16 {
        self.row().2
    }
}

/// An error that knows its [`Fault`] and, where there is one, the next thing to try.
///
/// The message itself (its `Display`) says what failed and on what value.
pub trait Faulty: std::error::Error {
    /// What kind of failure this is.
    fn fault(&self) -> Fault;

    /// The next step for the person who sees it, printed after `hint:`.
    fn hint(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_own_row() {
        for (fault, exit_code, http_status) in Fault::TABLE {
            assert_eq!(fault.exit_code(), exit_code);
            assert_eq!(fault.http_status(), http_status);
        }
    }
}

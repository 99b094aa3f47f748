//! What Redis says of itself.

/// What of `INFO` matters to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Info {
    version: String,
    mode: String,
    role: String,
    /// Whether it still reads what it has on disk; until then it says that it writes nothing down.
    loads: bool,
    /// Which server it is: another one after every restart, and after every promotion.
    pub(super) identity: String,
    /// Whether it may have all that it ever accepted: it writes down what it accepts, and was never somebody's replica.
    pub(super) may_have_all: bool,
}

impl Info {
    pub(super) fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| *key == name).map_or("", |(_, value)| value.trim()).to_owned()
        };
        let mode = field("redis_mode");
        Self {
            version: field("redis_version"),
            mode: if mode.is_empty() { field("server_mode") } else { mode },
            role: field("role"),
            loads: field("loading") == "1",
            // Not the replication id, which changes too when no replica was there for an hour.
            identity: format!("{}.{}", field("run_id"), field("second_repl_offset")),
            may_have_all: field("aof_enabled") == "1" && field("second_repl_offset") == "-1",
        }
    }

    /// Whether the server is one that we can use at all.
    ///
    /// # Errors
    /// Why not, and what is wanted.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut numbers = self.version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        if (numbers.next(), numbers.next()) < (Some(6), Some(2)) {
            return Err(format!("its version is {:?}: wanted is 6.2 or later", self.version));
        }
        match &*self.mode {
            "sentinel" => Err("it is a Sentinel: wanted is redis://MASTER/?sentinel=HOST:PORT".into()),
            "cluster" => {
                Err("it runs in cluster mode, which is not supported: wanted is a server of its own".into())
            }
            _ if self.loads => Err("it has not yet read what it has on disk".into()),
            _ => self.check_role(),
        }
    }

    pub(super) fn check_role(&self) -> Result<(), String> {
        match &*self.role {
            "master" => Ok(()),
            role => Err(format!("its role is {role}: wanted is the master")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: &str, mode: &str, role: &str, second: &str) -> Info {
        Info::parse(&format!(
            "# Server\r\nredis_version:{version}\r\nredis_mode:{mode}\r\n# Persistence\r\naof_enabled:1\r\n\
             # Replication\r\nrole:{role}\r\nsecond_repl_offset:{second}\r\n"
        ))
    }

    #[test]
    fn only_a_master_of_its_own_will_do() {
        for version in ["6.2.0", "7.0.15", "7.2.4", "10.0"] {
            assert_eq!(info(version, "standalone", "master", "-1").check(), Ok(()));
        }
        for (version, mode, role, wanted) in [
            ("6.0.16", "standalone", "master", "wanted is 6.2"),
            ("5.0.3", "standalone", "master", "wanted is 6.2"),
            ("", "standalone", "master", "wanted is 6.2"),
            ("7.0.0", "cluster", "master", "cluster mode"),
            ("7.0.0", "sentinel", "", "Sentinel"),
            ("7.0.0", "standalone", "slave", "role is slave"),
        ] {
            let problem = info(version, mode, role, "-1").check().expect_err("unusable");
            assert!(problem.contains(wanted), "{problem}");
        }
    }

    #[test]
    fn one_that_has_not_read_its_disk_is_not_there_yet() {
        let mut early = info("7.0.0", "standalone", "master", "-1");
        early.loads = true;
        assert!(early.check().expect_err("unusable").contains("on disk"));
        assert!(Info::parse("loading:1\r\naof_enabled:0\r\n").loads);
        assert!(!Info::parse("loading:0\r\n").loads);
    }

    #[test]
    fn a_promoted_replica_may_have_lost_something() {
        assert!(info("7.0.0", "standalone", "master", "-1").may_have_all);
        assert!(!info("7.0.0", "standalone", "master", "1234").may_have_all);
        assert!(!Info::parse("aof_enabled:0\r\nsecond_repl_offset:-1\r\n").may_have_all);
    }
}

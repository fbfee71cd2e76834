//! The simulator's controls.

use super::Fleet;
use serde_json::Value;

impl Fleet {
    /// Replaces the faults in force; `{}` ends them.
    pub fn faults(&self, plan: &Value) {
        self.put("faults", plan);
    }

    /// The faults in force, with what is left of each.
    #[must_use]
    pub fn fault_plan(&self) -> Value {
        let reply = self.send(self.web.client.get(self.control("faults")));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Moves or scales the provider's time.
    pub fn clock(&self, order: &Value) {
        self.put("clock", order);
    }

    /// Replaces the provider's limits.
    pub fn provider_limits(&self, plan: &Value) {
        self.put("limits", plan);
    }

    /// Replaces the answers to what the contract leaves open; `{}` sets the likely ones.
    pub fn doubts(&self, answers: &Value) {
        self.put("doubts", answers);
    }

    /// Makes these the only keys the provider knows, in the words of `--api-key`.
    pub fn provider_keys(&self, accepted: &[&str]) {
        self.put("keys", &serde_json::json!({"accepted": accepted}));
    }

    /// The provider's counters.
    #[must_use]
    pub fn stats(&self) -> Value {
        let reply = self.send(self.web.client.get(self.control("stats")));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    fn put(&self, what: &str, body: &Value) {
        let reply = self.send(self.web.client.put(self.control(what)).json(body));
        assert_eq!(reply.status, 200, "{what}: {}", reply.body);
    }

    fn control(&self, what: &str) -> String {
        format!("http://{}/_sim/{what}", self.control_address())
    }
}

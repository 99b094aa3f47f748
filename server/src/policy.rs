//! Rules about who may use which channel, for an application that has none of its own.

#[cfg(feature = "webhooks")]
use crate::AuthorizeWebhook;
use crate::{Authorization, BoxError, BroadcastError, Builder, Claims, RawJson, Subject};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};
use tidings_protocol::{Pattern, Rules};

/// Stands in a rule's pattern for the id of who asks.
const OWN: &str = "{sub}";

/// Channels that are denied unless a rule is about them.
const CLOSED: [&str; 2] = ["private-", "presence-"];

/// Who may use a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Who {
    /// Everybody.
    Public,
    /// Whoever has a valid token, whatever it says.
    Authenticated,
    /// Whose token covers the channel by a pattern in its claim `channels`.
    Claim,
    /// Whom the application lets in, when it is asked over HTTP.
    #[cfg(feature = "webhooks")]
    Webhook,
    /// Nobody.
    Deny,
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "public" => Ok(Self::Public),
            "authenticated" => Ok(Self::Authenticated),
            "claim" => Ok(Self::Claim),
            #[cfg(feature = "webhooks")]
            "webhook" => Ok(Self::Webhook),
            "deny" => Ok(Self::Deny),
            _ => {
                let webhook = if cfg!(feature = "webhooks") { " webhook," } else { "" };
                Err(format!(
                    "{text:?} is nobody: allowed are public, authenticated, claim,{webhook} and deny"
                ))
            }
        }
    }
}

/// Who may use the channels of a pattern. From text: `PATTERN=WHO`, such as `private-orders.*=claim`, and
/// `private-user.{sub}=authenticated`, where the end of the channel's name is the id of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pattern: Pattern,
    /// Whether what the channel has behind the pattern's prefix must be the subject's id.
    own: bool,
    who: Who,
}

impl Rule {
    /// The rule that `who` may use the channels of `pattern`, a name or a prefix with one trailing `*`. A pattern that ends
    /// with `{sub}` means all channels that start so, and lets each be used by one only: whose id is the rest of the name.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for what is no pattern, and for `{sub}` elsewhere than at the end or with `public`.
    pub fn new(pattern: &str, who: Who) -> Result<Self, BroadcastError> {
        let own = pattern.strip_suffix(OWN);
        let invalid = |why: String| Err(BroadcastError::Config(why));
        if own.unwrap_or(pattern).contains(OWN) {
            return invalid(format!("invalid rule for {pattern:?}: {OWN} is allowed once, at the end"));
        }
        if own.is_some() && who == Who::Public {
            return invalid(format!(
                "invalid rule for {pattern:?}: {OWN} wants somebody, so public is not allowed"
            ));
        }
        let pattern = own.map_or_else(|| pattern.to_owned(), |prefix| format!("{prefix}*"));
        match pattern.parse() {
            Ok(pattern) => Ok(Self { pattern, own: own.is_some(), who }),
            Err(error) => invalid(error.to_string()),
        }
    }

    /// Who may.
    pub fn who(&self) -> Who {
        self.who
    }

    /// Whether the rule's pattern matches whatever starts with `prefix`.
    fn has_all_of(&self, prefix: &str) -> bool {
        matches!(&self.pattern, Pattern::Prefix(own) if prefix.starts_with(own.as_str()))
    }

    /// What can be said of `subject` without asking anybody. The pattern matches `channel`.
    fn judge(&self, channel: &str, subject: Option<&Subject>) -> Verdict {
        let verdict = |yes| if yes { Verdict::Yes } else { Verdict::No };
        if let (true, Pattern::Prefix(prefix)) = (self.own, &self.pattern) {
            let rest = channel.strip_prefix(prefix.as_str());
            if subject.is_none_or(|subject| rest != Some(subject.id())) {
                return Verdict::No;
            }
        }
        match self.who {
            Who::Public => Verdict::Yes,
            Who::Authenticated => verdict(subject.is_some()),
            Who::Claim => {
                let claims = subject.and_then(|subject| subject.user::<Claims>());
                verdict(claims.is_some_and(|claims| claims.covers(channel)))
            }
            #[cfg(feature = "webhooks")]
            Who::Webhook => Verdict::Ask,
            Who::Deny => Verdict::No,
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "wanted is PATTERN=WHO, such as private-orders.*=claim";
        let (pattern, who) = text.rsplit_once('=').ok_or_else(|| format!("{text:?} has no =; {wanted}"))?;
        Self::new(pattern, who.parse()?).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = self.pattern.to_string();
        match pattern.strip_suffix('*').filter(|_| self.own) {
            Some(prefix) => write!(f, "{prefix}{OWN}"),
            None => f.write_str(&pattern),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    #[cfg(feature = "webhooks")]
    Ask,
}

/// Rules about who may use which channel: the one whose pattern fits best decides.
///
/// Channels without a rule are public, except `private-*` and `presence-*`: these are for those whose token covers them in
/// its claim `channels`.
///
/// Clients publish to channels that they may use and that their token's claim `publish`, or
/// [`client_publish`](Self::client_publish), has a pattern for.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    publish: Rules<()>,
    #[cfg(feature = "webhooks")]
    webhook: Option<Arc<AuthorizeWebhook>>,
}

impl Policy {
    /// A policy of these rules.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for two rules with the same pattern, and for a webhook without its URL.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, BroadcastError> {
        let policy = Self::checked(rules.into_iter().collect())?;
        #[cfg(feature = "webhooks")]
        if let Some(rule) = policy.rules.iter().find(|rule| rule.who == Who::Webhook) {
            let why = format!("the rule for {rule} is for a webhook, and there is none: name its URL");
            return Err(BroadcastError::Config(why));
        }
        Ok(policy)
    }

    /// A policy of these rules, some of which are for `webhook`.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] for two rules with the same pattern, and when none is for a webhook.
    #[cfg(feature = "webhooks")]
    pub fn with_webhook(
        rules: impl IntoIterator<Item = Rule>,
        webhook: AuthorizeWebhook,
    ) -> Result<Self, BroadcastError> {
        let policy = Self::checked(rules.into_iter().collect())?;
        if policy.rules.iter().all(|rule| rule.who != Who::Webhook) {
            let why = "no rule asks the webhook: wanted is one such as private-*=webhook";
            return Err(BroadcastError::Config(why.to_owned()));
        }
        Ok(Self { webhook: Some(Arc::new(webhook)), ..policy })
    }

    fn checked(rules: Vec<Rule>) -> Result<Self, BroadcastError> {
        let mut patterns = HashSet::new();
        if let Some(second) = rules.iter().find(|rule| !patterns.insert(rule.pattern.clone())) {
            let why = format!("two rules are for {second}: allowed is one for each pattern");
            return Err(BroadcastError::Config(why));
        }
        Ok(Self {
            rules,
            publish: Rules::default(),
            #[cfg(feature = "webhooks")]
            webhook: None,
        })
    }

    /// Lets clients publish to the channels of `pattern` that they may use, whether or not their tokens say so.
    pub fn client_publish(mut self, pattern: Pattern) -> Self {
        self.publish.insert(pattern, ());
        self
    }

    /// The first rule that opens all of `private-*` or `presence-*` to everybody, or to everybody with a token, without
    /// being about them alone. It is as likely to be an oversight.
    pub fn opens_private(&self) -> Option<&Rule> {
        let open = |rule: &&Rule| matches!(rule.who, Who::Public | Who::Authenticated) && !rule.own;
        self.rules.iter().filter(open).find(|rule| {
            CLOSED.iter().any(|closed| {
                let covers = |other: &Rule| other.has_all_of(closed) && other.pattern != rule.pattern;
                let longer = |other: &&Rule| other.pattern.to_string().len() > rule.pattern.to_string().len();
                let itself = rule.pattern == Pattern::Prefix((*closed).to_owned());
                rule.has_all_of(closed) && !itself && !self.rules.iter().filter(longer).any(covers)
            })
        })
    }

    /// The first rule that only somebody with a token can pass.
    pub fn needs_subject(&self) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.own || matches!(rule.who, Who::Authenticated | Who::Claim))
    }

    /// The rules, and those for what is closed where none is about it.
    fn complete(&self) -> Vec<Rule> {
        let mut rules = self.rules.clone();
        for closed in CLOSED {
            if !rules.iter().any(|rule| rule.has_all_of(closed)) {
                let pattern = Pattern::Prefix(closed.to_owned());
                rules.push(Rule { pattern, own: false, who: Who::Claim });
            }
        }
        rules
    }

    /// Whether `subject` may publish to a channel that it may use.
    fn may_publish(&self, channel: &str, subject: Option<&Subject>) -> bool {
        let claims = subject.and_then(|subject| subject.user::<Claims>());
        self.publish.get(channel).is_some() || claims.is_some_and(|claims| claims.may_publish(channel))
    }

    async fn decide(
        &self,
        rule: &Rule,
        channel: &Arc<str>,
        subject: Option<&Subject>,
    ) -> Result<Authorization, BoxError> {
        match rule.judge(channel, subject) {
            Verdict::Yes => Ok(Authorization { authorized: true, presence: member(channel, subject) }),
            Verdict::No => Ok(false.into()),
            #[cfg(feature = "webhooks")]
            Verdict::Ask => {
                let webhook = self.webhook.as_ref().ok_or("there is no webhook to ask")?;
                let answer = webhook.ask(channel, subject).await?;
                let presence = answer.presence.or_else(|| member(channel, subject));
                Ok(Authorization { presence: presence.filter(|_| answer.authorized), ..answer })
            }
        }
    }
}

/// The member that a subject is on a presence channel.
fn member(channel: &str, subject: Option<&Subject>) -> Option<RawJson> {
    #[derive(Serialize)]
    struct Member<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        info: Option<&'a RawValue>,
    }
    let subject = subject.filter(|_| channel.starts_with("presence-"))?;
    let info = subject.user::<Claims>().and_then(Claims::info);
    let info = info.and_then(|info| serde_json::from_str(info.as_str()).ok());
    RawJson::serialize(&Member { id: subject.id(), info }).ok()
}

impl Builder {
    /// Lets `policy` decide who may use which channel, and who may publish. A function for the same pattern that
    /// [`authorize`](Self::authorize) sets later takes the rule's place, and one that
    /// [`allow_client_publish`](Self::allow_client_publish) sets later decides who may publish.
    pub fn policy(mut self, policy: Policy) -> Self {
        let policy = Arc::new(policy);
        for rule in policy.complete() {
            let policy = policy.clone();
            let pattern = rule.pattern.to_string();
            let rule = Arc::new(rule);
            self = self.authorize(&pattern, move |channel, subject| {
                let (policy, rule) = (policy.clone(), rule.clone());
                async move { policy.decide(&rule, &channel, subject.as_ref()).await }
            });
        }
        self.allow_client_publish_if(move |context| {
            policy.may_publish(&context.channel, context.subject.as_ref())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().expect(text)
    }

    fn policy(rules: &[&str]) -> Policy {
        Policy::new(rules.iter().map(|text| rule(text))).expect("a policy")
    }

    #[test]
    fn rules_are_read_or_told_what_is_wrong() {
        for (text, wanted) in [
            ("private-a.*", "has no ="),
            ("a=anybody", "\"anybody\" is nobody: allowed are public, authenticated, claim"),
            ("a=", "\"\" is nobody"),
            ("=deny", "invalid channel pattern \"\""),
            ("a*b=deny", "invalid channel pattern \"a*b\""),
            ("{sub}.a=claim", "{sub} is allowed once, at the end"),
            ("a.{sub}*=claim", "{sub} is allowed once, at the end"),
            ("a.{sub}.{sub}=claim", "{sub} is allowed once, at the end"),
            ("a.{sub}=public", "public is not allowed"),
        ] {
            let error = text.parse::<Rule>().expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert_eq!(rule("a=b=deny"), Rule::new("a=b", Who::Deny).expect("a rule"));
        assert_eq!(rule("a.{sub}=claim").to_string(), "a.{sub}");
        for (rules, wanted) in [
            (["a.*=deny", "a.*=claim"], "two rules are for a.*"),
            (["a.*=deny", "a.{sub}=claim"], "two rules are for a.{sub}"),
        ] {
            let error = Policy::new(rules.map(rule)).expect_err(wanted);
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_users_own_channel_is_nobody_elses() {
        for (text, own) in
            [("private-user.{sub}=authenticated", Verdict::Yes), ("private-user.{sub}=claim", Verdict::No)]
        {
            let rule = rule(text);
            let judge = |id: &str| rule.judge("private-user.a.b", Some(&Subject::new(id)));
            assert_eq!(judge("a.b"), own, "{text}");
            for other in ["a", "b", "a.", "a.bc", "*", "a.*", "{sub}"] {
                assert_eq!(judge(other), Verdict::No, "{text} {other}");
            }
            assert_eq!(rule.judge("private-user.a.b", None), Verdict::No);
        }
    }

    #[test]
    fn what_is_closed_stays_so_unless_a_rule_is_about_it() {
        let closed = |rules: &[&str]| {
            let complete = policy(rules).complete();
            complete.into_iter().skip(rules.len()).map(|rule| rule.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(closed(&[]), ["private-*", "presence-*"]);
        assert_eq!(closed(&["private-a.*=public", "private-=public"]), ["private-*", "presence-*"]);
        assert_eq!(closed(&["private-*=public"]), ["presence-*"]);
        assert_eq!(closed(&["pr*=deny"]), [""; 0]);
    }

    #[test]
    fn rules_that_open_what_is_closed_are_found() {
        for (rules, found) in [
            (&["*=public"][..], Some("*")),
            (&["*=authenticated", "private-*=claim"], Some("*")),
            (&["*=authenticated", "private-*=claim", "presence-*=deny"], None),
            (&["*=claim"], None),
            (&["private-*=public"], None),
            (&["pri*=public"], Some("pri*")),
            (&["p{sub}=authenticated"], None),
            (&["a*=public"], None),
        ] {
            let policy = policy(rules);
            assert_eq!(policy.opens_private().map(ToString::to_string).as_deref(), found, "{rules:?}");
        }
    }
}

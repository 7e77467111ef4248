//! Requests. Redirects are followed by hand, so that the token goes to the endpoint's own origin and nowhere else.

use std::time::Duration;

use tronie_base::Progress;
use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body, Proxy};

use super::names::shown;
use super::{HubConfig, HubError, Token};

/// A connection to one endpoint.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    origin: Uri,
    token: Option<Token>,
    n_retries: u32,
    pause: Duration,
}

const MAX_REDIRECTS: usize = 5;

impl Client {
    pub(super) fn new(config: &HubConfig) -> Result<Self, HubError> {
        let endpoint = config.endpoint.trim_end_matches('/').to_owned();
        let origin = endpoint.parse::<Uri>().ok();
        let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        let Some(origin) = origin.filter(is_http) else {
            let endpoint = shown(&config.endpoint);
            return Err(HubError::Endpoint { endpoint });
        };
        let proxy = config.proxy.as_deref().map(Proxy::new).transpose();
        let proxy = proxy.map_err(|_| HubError::Endpoint {
            endpoint: shown(config.proxy.as_deref().unwrap_or_default()),
        })?;
        let settings = Agent::config_builder()
            .proxy(proxy) // otherwise the library asks the environment
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(config.silence))
            .timeout_recv_response(Some(config.silence * 2))
            .timeout_per_read(Some(config.silence))
            .timeout_per_write(Some(config.silence))
            .user_agent(concat!("tronie/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            agent: settings.build().new_agent(),
            endpoint,
            origin,
            token: config.token.clone(),
            n_retries: config.n_retries,
            pause: config.pause,
        })
    }

    /// An address below the endpoint; `path` is encoded.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    /// The answer to a request, after redirects: 2xx or 416, everything else is an error.
    ///
    /// `start` is the first byte that is wanted.
    pub(super) fn get(&self, url: &str, start: u64) -> Result<Response<Body>, HubError> {
        let mut at = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&at);
            if start > 0 {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| self.is_own(&at)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
            }
            let answer = request
                .call()
                .map_err(|source| HubError::Network { url: without_query(&at), source: Box::new(source) })?;
            match answer.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => at = self.next_hop(&at, &answer)?,
                _ => return self.judged(&at, answer),
            }
        }
        Err(HubError::Redirect {
            url: without_query(url),
            to: without_query(&at),
            why: "is one redirect too many",
        })
    }

    /// What a file's own address says of it: headers without the file, and without leaving the endpoint's origin.
    pub(super) fn head(&self, url: &str) -> Result<Response<Body>, HubError> {
        let mut request = self.agent.head(url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
        }
        let answer = request
            .call()
            .map_err(|source| HubError::Network { url: without_query(url), source: Box::new(source) })?;
        match answer.status().as_u16() {
            300..=399 => Ok(answer),
            _ => self.judged(url, answer),
        }
    }

    /// Repeats what failed for a passing reason, as often and after such pauses as configured.
    ///
    /// `attempt` returns whether it got on, also when it fails; then counting starts again.
    pub(super) fn persistently<T>(
        &self,
        progress: &mut dyn Progress,
        mut attempt: impl FnMut(&mut dyn Progress) -> (bool, Result<T, HubError>),
    ) -> Result<T, HubError> {
        let mut n_failed = 0;
        loop {
            progress.check()?;
            let (got_on, result) = attempt(progress);
            if got_on {
                n_failed = 0;
            }
            match result {
                Err(error) if error.is_passing() && n_failed < self.n_retries => {
                    progress.note(&format!("{error}; trying again"));
                    self.sleep(n_failed, progress)?;
                    n_failed += 1;
                }
                result => return result,
            }
        }
    }

    fn sleep(&self, n_failed: u32, progress: &dyn Progress) -> Result<(), HubError> {
        const SLICE: Duration = Duration::from_millis(100);
        const LONGEST: Duration = Duration::from_secs(30);
        let mut left = self.pause.saturating_mul(1 << n_failed.min(8)).min(LONGEST);
        while !left.is_zero() {
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
            progress.check()?;
        }
        Ok(())
    }

    fn judged(&self, url: &str, answer: Response<Body>) -> Result<Response<Body>, HubError> {
        let status = answer.status().as_u16();
        let address = without_query(url);
        match status {
            200..=299 | 416 => Ok(answer),
            401 | 403 => Err(HubError::Refused { url: address, status, with_token: self.token.is_some() }),
            404 => Err(HubError::NotFound { url: address }),
            _ => Err(HubError::Status { url: address, status }),
        }
    }

    fn is_own(&self, url: &str) -> bool {
        let same = |uri: &Uri| {
            uri.scheme() == self.origin.scheme()
                && uri.host() == self.origin.host()
                && port(uri) == port(&self.origin)
        };
        url.parse::<Uri>().is_ok_and(|uri| same(&uri))
    }

    fn next_hop(&self, from: &str, answer: &Response<Body>) -> Result<String, HubError> {
        let to =
            answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refuse =
            |why| HubError::Redirect { url: without_query(from), to: shown(&without_query(to)), why };
        let base = from.parse::<Uri>().ok();
        let absolute = match base.as_ref().and_then(|base| Some((base.scheme_str()?, base.authority()?))) {
            Some((scheme, authority)) if to.starts_with('/') && !to.starts_with("//") => {
                format!("{scheme}://{authority}{to}")
            }
            _ => to.to_owned(),
        };
        let target = absolute.parse::<Uri>().map_err(|_| refuse("is no address"))?;
        match (target.scheme_str(), self.origin.scheme_str()) {
            (Some("https"), _) | (Some("http"), Some("http")) => Ok(absolute),
            (Some("http"), _) => Err(refuse("is not encrypted, as the endpoint is")),
            _ => Err(refuse("is no http address")),
        }
    }
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 })
}

/// Addresses of content servers carry signatures in their query; those are no business of a log.
fn without_query(url: &str) -> String {
    shown(url.split(['?', '#']).next().unwrap_or_default())
}

/// A header's value as text.
pub(super) fn text<'a>(answer: &'a Response<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

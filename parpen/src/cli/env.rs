//! `parpen env`: what each client needs, as lines for `eval`.

use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use parpen_identity::Secrets;
use parpen_model::Api;
use serde_json::json;

use super::print::say;
use crate::files::{self, RunFile};

/// A client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    Openstack,
    Storpool,
    Lxd,
    Cern,
    Rapyuta,
    Nbd,
}

/// Prints the lines.
pub(super) fn print(client: Client, data: &Path) -> anyhow::Result<()> {
    let data = &std::path::absolute(data)?;
    let run = RunFile::read(data)?;
    let secrets = files::read_secrets(data)?;
    let (host, port) = run.http.rsplit_once(':').context("run.json has no port")?;
    let lines = match client {
        Client::Openstack => openstack(data, &run, &secrets)?,
        Client::Storpool => vec![
            ("SP_API_HTTP_HOST".into(), host.into()),
            ("SP_API_HTTP_PORT".into(), port.into()),
            ("SP_AUTH_TOKEN".into(), secret(&secrets, Api::StorPool)?),
        ],
        Client::Lxd => {
            run.lxd_socket
                .as_ref()
                .context("this server has no LXD socket: its path was too long; see its log")?;
            vec![("LXD_DIR".into(), data.display().to_string())]
        }
        Client::Cern => vec![
            ("CERN_URL".into(), format!("http://{}", run.http)),
            ("CERN_USER".into(), secrets.principal.clone()),
            ("CERN_PASSWORD".into(), secret(&secrets, Api::Cern)?),
        ],
        Client::Rapyuta => rapyuta(data, &run, &secrets)?,
        Client::Nbd => {
            let (host, port) = run.nbd.rsplit_once(':').context("run.json has no NBD port")?;
            let socket = run.nbd_socket.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
            vec![
                ("NBD_HOST".into(), host.into()),
                ("NBD_PORT".into(), port.into()),
                ("NBD_SOCKET".into(), socket),
            ]
        }
    };
    if client == Client::Openstack {
        let strangers = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in strangers.filter(|n| n.starts_with("OS_") && n.chars().all(plain)) {
            say(format_args!("unset {name}"))?;
        }
    }
    for (name, value) in lines {
        say(format_args!("export {name}={}", quoted(&value)))?;
    }
    Ok(())
}

type Lines = Vec<(String, String)>;

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// As one word of a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn secret(s: &Secrets, api: Api) -> anyhow::Result<String> {
    s.secrets.get(&api).cloned().with_context(|| format!("credentials.json has no secret for {}", api.word()))
}

fn openstack(data: &Path, run: &RunFile, s: &Secrets) -> anyhow::Result<Lines> {
    if let Some(at) = &run.identity {
        anyhow::bail!("users of this server log in at {at}: take the OS_* lines of an account there");
    }
    let url = format!("http://{}/identity/v3", run.http);
    let password = secret(s, Api::OpenStack)?;
    let clouds = json!({ "clouds": { "parpen": {
        "auth": {
            "auth_url": url, "username": s.principal, "password": password, "project_name": s.project,
            "user_domain_name": "Default", "project_domain_name": "Default",
        },
        "region_name": "RegionOne", "identity_api_version": "3",
    }}});
    // JSON is YAML.
    let path = data.join("clouds.yaml");
    files::write_private(&path, &serde_json::to_string_pretty(&clouds)?)?;
    let lines = [
        ("OS_CLIENT_CONFIG_FILE", path.display().to_string()),
        ("OS_CLOUD", "parpen".into()),
        ("OS_AUTH_URL", url),
        ("OS_USERNAME", s.principal.clone()),
        ("OS_PASSWORD", password),
        ("OS_PROJECT_NAME", s.project.clone()),
        ("OS_USER_DOMAIN_NAME", "Default".into()),
        ("OS_PROJECT_DOMAIN_NAME", "Default".into()),
        ("OS_IDENTITY_API_VERSION", "3".into()),
        ("OS_REGION_NAME", "RegionOne".into()),
    ];
    Ok(lines.into_iter().map(|(n, v)| (n.to_string(), v)).collect())
}

fn rapyuta(data: &Path, run: &RunFile, s: &Secrets) -> anyhow::Result<Lines> {
    let host = format!("http://{}", run.http);
    let token = secret(s, Api::Rapyuta)?;
    let project = format!("project-{}", s.project_id.0.simple());
    let document = json!({
        "catalog_host": host, "core_api_host": host, "rip_host": host, "v2api_host": host,
        "auth_token": token, "project_id": project, "organization_id": "parpen", "environment": "local",
    });
    let path = data.join("rio.json");
    files::write_private(&path, &serde_json::to_string_pretty(&document)?)?;
    Ok(vec![
        ("RIO_CONFIG".into(), path.display().to_string()),
        ("RIO_AUTH_TOKEN".into(), token),
        ("RIO_PROJECT".into(), project),
    ])
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_one_word() {
        assert_eq!(super::quoted("a'b c"), r"'a'\''b c'");
    }
}

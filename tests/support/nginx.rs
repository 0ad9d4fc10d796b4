//! nginx, as a user has it.

use std::{
    path::Path,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Netns, Scratch, wait_for};

/// One that serves a word on 127.0.0.1 and `::1`.
pub(crate) struct Nginx<'a> {
    netns: &'a Netns,
    master: Child,
    port: u16,
    _scratch: Scratch,
}

impl<'a> Nginx<'a> {
    /// One in a network namespace, with one worker. It has answered once when this returns.
    pub(crate) fn within(netns: &'a Netns, port: u16) -> Self {
        let scratch = Scratch::new("nginx");
        let file = scratch.path().join("nginx.conf");
        std::fs::write(&file, configuration(scratch.path(), port)).expect("a configuration");
        let master = netns.command("nginx").arg("-c").arg(&file).stderr(Stdio::null()).spawn().expect("nginx starts");
        let nginx = Self { netns, master, port, _scratch: scratch };
        wait_for("nginx", || nginx.answers("127.0.0.1").then_some(()));
        nginx
    }

    /// Has curl ask it; whether it answered.
    pub(crate) fn answers(&self, address: &str) -> bool {
        let mut curl = self.netns.command("curl");
        curl.args(["--silent", "--globoff", "--noproxy", "*", &format!("http://{address}:{}/", self.port)]);
        let output = curl.output().expect("curl runs");
        output.status.success() && output.stdout == b"served"
    }
}

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.master.id().cast_signed()), Signal::SIGTERM);
        let _ = self.master.wait();
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let directory = directory.display();
    format!(
        "daemon off; pid {directory}/pid; error_log /dev/null; worker_processes 1;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; listen [::1]:{port}; return 200 served; }}
}}"
    )
}

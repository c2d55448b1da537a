//! The users of a site, and the files that define them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The password of every user of a site.
pub const PASSWORD: &str = "hunter2";
/// `openssl passwd -6 -salt totpd hunter2`
const HASH: &str =
    "$6$totpd$iWuzJ5dH6p9pMl2fBF46gOxLM7nHJBWEdk66aKzYvXynXbPuF7hIPI5ck8KMzk/9sp.5Dy6bp0pJGhlGaot0N0";
/// Login names and uids of the site's users. Root and nobody exist as well.
pub const USERS: [(&str, u32); 11] = [
    ("alice", 5001),
    ("bob", 5002),
    ("eve", 5003),
    ("u1", 5011),
    ("u2", 5012),
    ("u3", 5013),
    ("u4", 5014),
    ("u5", 5015),
    ("u6", 5016),
    ("u7", 5017),
    ("u8", 5018),
];

/// Returns the uid of one of [`USERS`].
pub fn uid_of(user: &str) -> Option<u32> {
    USERS.iter().find(|(name, _)| *name == user).map(|(_, uid)| *uid)
}

/// Writes passwd, shadow, group, sudoers and the home folders of a site.
pub(crate) fn write_users(root: &Path) {
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n\
                      nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        .to_owned();
    let mut shadow =
        "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\nnobody:*:19000:0:99999:7:::\n".to_owned();
    let mut group = "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n".to_owned();
    for (name, uid) in USERS {
        let home = root.join("home").join(name);
        std::fs::create_dir_all(&home).unwrap();
        nix::unistd::chown(&home, Some(uid.into()), Some(uid.into())).unwrap();
        passwd += &format!("{name}:x:{uid}:{uid}::{}:/bin/sh\n", home.display());
        shadow += &format!("{name}:{HASH}:19000:0:99999:7:::\n");
        group += &format!("{name}:x:{uid}:\n");
    }
    for (file, content) in [("passwd", passwd), ("shadow", shadow), ("group", group)] {
        std::fs::write(root.join("etc").join(file), content).unwrap();
    }
    std::fs::set_permissions(root.join("etc/shadow"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let sudoers = root.join("etc/sudoers");
    std::fs::write(&sudoers, "Defaults !lecture, timestamp_timeout=0, passwd_tries=3\nALL ALL=(ALL) ALL\n")
        .unwrap();
    std::fs::set_permissions(&sudoers, std::fs::Permissions::from_mode(0o440)).unwrap();
}

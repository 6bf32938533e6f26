import Foundation
import Testing

/// The library as `make install-library` puts it somewhere: programs find it by pkg-config.
struct Installation {
    let scratch: Scratch
    private let root: String

    init() throws {
        scratch = try Scratch()
        root = scratch.path + "/root"
        let made = try ProcessRun.run(
            "/usr/bin/make",
            ["-s", "-C", Repository.root, "install-library", "DESTDIR=" + root, "PREFIX=/usr"],
            environment: [
                "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            ])
        try #require(made.succeeded, "\(made.output)")
    }

    var manual: String { root + "/usr/share/man" }

    /// What makes pkg-config, the compiler and the loader look there instead of in /usr.
    var environment: [String: String] {
        [
            "PKG_CONFIG_PATH": root + "/usr/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR": root,
            "PKG_CONFIG_ALLOW_SYSTEM_LIBS": "1", "PKG_CONFIG_ALLOW_SYSTEM_CFLAGS": "1",
            "LD_LIBRARY_PATH": root + "/usr/lib",
        ]
    }

    /// Runs a line of the shell in the scratch directory.
    func shell(_ line: String) throws -> ProcessResult {
        try ProcessRun.run(
            "/bin/sh", ["-c", "cd \"$0\" && " + line, scratch.path], environment: environment)
    }
}

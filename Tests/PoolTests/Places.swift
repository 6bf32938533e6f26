import Foundation
import Glibc

/// Where things are.
enum Places {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    /// What `make` built; IOTRAP_TEST_BUILD names another folder, as `make BUILD=` does.
    static let build =
        ProcessInfo.processInfo.environment["IOTRAP_TEST_BUILD"] ?? repository + "/build"
    static let preload = build + "/lib/libiotrap-preload.so"
    static let links = repository + "/bench/testbeds/links.sh"

    /// A program of Tests/Pools.
    static func program(_ name: String) -> String { build + "/tests/pools/" + name }

    /// A program of Tests/Differential.
    static func differential(_ name: String) -> String { build + "/tests/differential/" + name }

    /// What keeps mounts from being made here.
    static let obstacle: String? = {
        if geteuid() != 0 { return "mounting needs root" }
        if access("/dev/fuse", R_OK | W_OK) != 0 { return "no /dev/fuse here" }
        if access("/usr/bin/cc", X_OK) != 0 { return "no C compiler at /usr/bin/cc" }
        return nil
    }()
}

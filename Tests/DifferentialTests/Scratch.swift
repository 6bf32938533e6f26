import Foundation
import Testing

/// A fresh directory on the repository's file system, gone with this object.
final class Scratch {
    let path: String

    init() throws {
        path = Repository.scratch + "/" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Names, types, sizes and hashes of all that is in it.
    func tree() throws -> String {
        let script = "cd \"$1\" && \(Scratch.listing)"
        let result = try ProcessRun.run("/bin/sh", ["-c", script, "sh", path])
        try #require(result.succeeded, "listing \(path): \(result.errors)")
        return result.output
    }

    static let listing = """
        find . -mindepth 1 -printf '%p %y %m %s\\n' | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
        """
}

import Foundation

/// Where this repository has its parts, from where this file is.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    static let library = root + "/build/lib/libiotrap.so"
    static let preload = root + "/build/lib/libiotrap-preload.so"
    static let programs = root + "/build/tests/library"
    static let sources = root + "/Tests/Library"
    static let headers = ["iotrap.h", "iotrap_queue.h"].map {
        root + "/Sources/CIOTrap/include/" + $0
    }

    static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
}

/// A fresh directory on the repository's file system, gone with this object.
final class Scratch {
    let path: String

    init() throws {
        path = Repository.root + "/build/tests/scratch/" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Makes a file and returns its path.
    func file(_ name: String, _ content: String) throws -> String {
        let path = self.path + "/" + name
        try content.write(toFile: path, atomically: false, encoding: .utf8)
        return path
    }
}

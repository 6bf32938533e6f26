import Foundation

/// Where this repository has its parts, from where this file is.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    static let preload = root + "/build/lib/libiotrap-preload.so"
    static let library = root + "/build/lib/libiotrap.so"
    static let command = root + "/build/bin/iotrap"
    static let programs = root + "/build/tests/differential"
    static let sources = root + "/Tests/Differential"
    static let scratch = root + "/build/tests/scratch"

    static func text(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
}

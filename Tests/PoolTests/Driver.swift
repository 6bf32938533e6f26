import Foundation
import Testing

/// Tests/Pools/driver.c: a program that makes the calls it is told to make.
struct Driver {
    let conversation: Conversation
    private let links: Links

    init(_ conversation: Conversation, _ links: Links) {
        self.conversation = conversation
        self.links = links
    }

    @discardableResult
    func callAsFunction(
        _ line: String, at location: SourceLocation = #_sourceLocation
    ) throws -> String {
        try conversation.say(line, at: location)
    }

    /// Says a line whose answer is known.
    func expect(
        _ line: String, _ answer: String, or others: String...,
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let given = try conversation.say(line, at: location)
        #expect(
            ([answer] + others).contains(given), "\(line); \(links.log)",
            sourceLocation: location)
    }

    /// Opens a file; the descriptor.
    func open(
        _ path: String, _ flags: String = "write,direct,create",
        at location: SourceLocation = #_sourceLocation
    ) throws -> Int {
        let answer = try conversation.say("open \(path) \(flags)", at: location)
        return try #require(Int(answer), "\(path): \(answer)", sourceLocation: location)
    }

    /// Requests side by side from the beginning of the file, until all are done.
    func transfer(
        _ operation: String, _ descriptor: Int, sequence: Int, api: String = "libaio",
        bytes: Int = 65_536, count: Int = 64, at location: SourceLocation = #_sourceLocation
    ) throws {
        try expect(
            "start \(api) \(operation) \(descriptor) 0 \(bytes) \(count) \(sequence)",
            "started \(count)", at: location)
        try expect("reap", "ok", at: location)
    }

    /// Reads or writes until every one of these links has carried some of it: the other paths are
    /// opened and proven meanwhile. The file is 4 MiB of writes with the sequence number.
    func spread(
        _ operation: String, _ descriptor: Int, sequence: Int, over wanted: [Int],
        at location: SourceLocation = #_sourceLocation
    ) throws {
        let counter = operation == "write" ? "writes" : "reads"
        let before = try wanted.map { try links.counter($0, counter) }
        let isSpread = try eventually {
            try transfer(operation, descriptor, sequence: sequence, at: location)
            return try zip(wanted, before).allSatisfy { try links.counter($0, counter) > $1 }
        }
        #expect(isSpread, "not all of \(wanted) are used; \(links.log)", sourceLocation: location)
    }
}

import Foundation
import Testing

@testable import IOTrace

/// The directory of kept files: samples of released versions, and the corpus of the fuzzer.
let dataDirectory =
    "\(#filePath)".split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    + "/data"

@Suite("Released versions")
struct VersionTests {
    @Test(
        "A trace of version 1 reads as it did when it was written",
        arguments: ["version-1-raw.trace", "version-1-zstd.trace"])
    func version1(name: String) throws {
        let path = dataDirectory + "/" + name
        let found = try Content(of: path)
        #expect(found.end == .complete)
        #expect(found.files == testFiles)
        #expect(found.events == variedEvents(200))
        #expect(found.metadata == ["producer": "test", "note": "ä"])
        #expect(found.totals.dropped == 3)
    }

    @Test("What is written today without compression is that very file")
    func unchanged() throws {
        let scratch = try Scratch()
        try writeTrace(scratch("t"), variedEvents(200), codec: .raw, flushEvery: 70)
        #expect(try content(scratch("t")) == content(dataDirectory + "/version-1-raw.trace"))
    }
}

@Suite("Samples")
struct SampleTests {
    /// IOTRAP_TRACE_SAMPLES names the directory that a new version's samples are written to.
    @Test("Samples of the present version are made on demand")
    func samples() throws {
        guard let directory = ProcessInfo.processInfo.environment["IOTRAP_TRACE_SAMPLES"] else {
            return
        }
        for (name, codec) in [("raw", TraceCodec.raw), ("zstd", .zstd)] {
            let path = directory + "/version-1-\(name).trace"
            try writeTrace(path, variedEvents(200), codec: codec, flushEvery: 70)
        }
        try writeTrace(directory + "/small.trace", variedEvents(12), codec: .raw, flushEvery: 5)
    }
}

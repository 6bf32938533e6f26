import CIOTrap
import CIOTrapEngine
import Testing

@testable import IOTrapEngine

private typealias Pool = PoolReading.Pool

private func pools(_ text: String) throws(PoolError) -> [PoolReading.Pool] {
    let reading = PoolReading()
    try reading.list(text)
    #expect(reading.isSound, "\(text)")
    return reading.pools
}

@Suite struct PoolConfigurationTests {
    @Test func readsTheOriginalSyntax() throws {
        #expect(
            try pools("pool:/mnt/a/,/mnt/b/ pool2:/x,/y")
                == [Pool("pool", ["/mnt/a", "/mnt/b"]), Pool("pool2", ["/x", "/y"])])
        #expect(try pools(" \t\n").isEmpty)
        #expect(try pools("").isEmpty)
        #expect(try pools("\ta:/x\n\nb:/y ") == [Pool("a", ["/x"]), Pool("b", ["/y"])])
        #expect(try pools("a:,/x,,/y,") == [Pool("a", ["/x", "/y"])])
    }

    @Test(arguments: [
        ("/mnt/a///", "/mnt/a"), ("//mnt//a", "/mnt/a"), ("/./mnt/././a/.", "/mnt/a"),
        ("/mnt/.a/..b/...", "/mnt/.a/..b/..."), ("/a/./", "/a"), ("/mnt/a.", "/mnt/a."),
        ("\"/mnt/with space\"", "/mnt/with space"), ("/mnt/with\\ space/", "/mnt/with space"),
        ("/mnt/\"a,b:c\"/", "/mnt/a,b:c"), ("\"/mnt/a/\"/", "/mnt/a"),
        ("\"/say \\\"x\\\" \\\\\"", "/say \"x\" \\"), ("\\/x", "/x"), ("/a\\,b", "/a,b"),
        ("/mnt/coherent=yes", "/mnt/coherent=yes"), ("\"/mnt/=\"", "/mnt/="),
    ])
    func pathsAreWrittenInOneWay(_ written: String, _ path: String) throws {
        #expect(try pools("p:\(written),/other") == [Pool("p", [path, "/other"])])
    }

    @Test func readsEveryOption() throws {
        var pool = Pool("data-1_b.c", ["/mnt/a", "/mnt/b c", "/mnt/d"])
        pool.flags =
            IOTRAP_POOL_COHERENT | IOTRAP_POOL_SAME | IOTRAP_POOL_BULK_OFF_PRIMARY
        pool.weights = [1, 20, 1_000_000]
        pool.primary = 1
        pool.chunkBytes = 512 << 10
        pool.hedgeTenths = 995
        pool.answerWithinNanoseconds = 250_000_000
        pool.protect = IOTRAP_SETTING_ON.rawValue
        #expect(
            try pools(
                "data-1_b.c:weights=1:20:1000000,primary=/mnt/\"b c\"/,/mnt/a,coherent=yes,"
                    + "/mnt/b\\ c,same=yes,/mnt/d,bulk=off-primary,chunk=512K,hedge=99.5,"
                    + "answer-within=250ms,protect=on") == [pool])
    }

    /// The pool `p` of two paths, with options.
    private func option(_ text: String) throws -> PoolReading.Pool {
        try #require(try pools("p:/a,/b," + text).first)
    }

    @Test func valuesOfOptions() throws {
        #expect(try option("chunk=64K").chunkBytes == 65_536)
        #expect(try option("chunk=16M").chunkBytes == 16 << 20)
        #expect(try option("chunk=69632").chunkBytes == 69_632)
        #expect(try option("hedge=50").hedgeTenths == 500)
        #expect(try option("hedge=99").hedgeTenths == 990)
        #expect(try option("hedge=99.9").hedgeTenths == 999)
        #expect(try option("hedge=99,hedge=off").hedgeTenths == 0)
        #expect(try option("answer-within=off").answerWithinNanoseconds == 0)
        #expect(try option("answer-within=3").answerWithinNanoseconds == 3_000_000_000)
        #expect(try option("answer-within=3600s").answerWithinNanoseconds == 3_600_000_000_000)
        #expect(try option("answer-within=1ms").answerWithinNanoseconds == 1_000_000)
        #expect(try option("primary=2").primary == 1)
        #expect(try option("primary=1").primary == 0)
        #expect(try option("primary=/b/").primary == 1)
        #expect(try option("protect=off").protect == IOTRAP_SETTING_OFF.rawValue)
        #expect(try option("protect=auto").protect == IOTRAP_SETTING_AUTO.rawValue)
        #expect(try option("coherent=yes,coherent=no").flags == 0)
        #expect(try option("bulk=off-primary,bulk=all").flags == 0)
    }

    @Test func limitsThemselvesAreAllowed() throws {
        let long = "/" + String(repeating: "x", count: 510)
        #expect(try pools("p:\(long)/")[0].paths == [long])
        let name = String(repeating: "n", count: 31)
        #expect(try pools("\(name):/a")[0].name == name)
        let all = (0..<16).map { pool in
            "p\(pool):" + (0..<8).map { "/\(pool)/\($0)" }.joined(separator: ",")
        }
        #expect(try pools(all.joined(separator: " ")).count == 16)
        let paths = (0..<64).map { "/mnt/\($0)" }
        #expect(try pools("p:" + paths.joined(separator: ","))[0].paths == paths)
    }

    @Test(arguments: [
        ("/mnt/a,/mnt/b", PoolFault.noName, "/mnt/a,/mnt/b"), (":/a", .noName, ":/a"),
        ("/mnt/a:/mnt/b", .noName, "/mnt/a:/mnt/b"), ("pool", .noName, "pool"),
        ("pö:/a", .badName, "pö"), ("a=b:/a", .badName, "a=b"), ("\"a\":/a", .badName, "\"a\""),
        (
            String(repeating: "n", count: 32) + ":/a", .longName,
            String(repeating: "n", count: 32)
        ),
        ("a:/x a:/y", .duplicatePool, "a"), ("a:", .noPath, "a:"), ("a: /x", .noPath, "a:"),
        ("a:coherent=yes", .noPath, "a:coherent=yes"), ("a:mnt/a", .relativePath, "mnt/a"),
        ("a:\"\",/b", .relativePath, "\"\""), ("a:/x,./y", .relativePath, "./y"),
        ("a:/mnt/../etc", .climbingPath, "/mnt/../etc"), ("a:/x/..", .climbingPath, "/x/.."),
        ("a:/..", .climbingPath, "/.."), ("a:/\"..\"/b", .climbingPath, "/\"..\"/b"),
        ("a:/", .rootPath, "/"), ("a://./", .rootPath, "//./"),
        ("a:/x:/y", .unquotedCharacter, "/x:/y"), ("a:/x\0y", .zeroByte, "/x\0y"),
        ("a:/x,/y,/x/", .samePath, "/x/"), ("a:/x,/y b:/z,/y", .sharedPath, "/y"),
        ("a:/x,/x/y", .nestedPath, "/x/y"), ("a:/x/y b:/x/", .nestedPath, "/x/"),
        ("a:/x,copies=3", .unknownOption, "copies"), ("a:/x,=3", .unknownOption, ""),
        ("a:/x,chunk=", .missingValue, "chunk="), ("a:/x,same=on", .badYesNo, "same=on"),
        ("a:/x,coherent=1", .badYesNo, "coherent=1"), ("a:/x,/y,weights=1:0", .badWeights, "1:0"),
        ("a:/x,/y,weights=1:", .badWeights, "1:"), ("a:/x,/y,weights=1", .weightCount, "1"),
        ("a:/x,/y,weights=1:2:3", .weightCount, "1:2:3"),
        ("a:/x,weights=1000001", .badWeights, "1000001"),
        ("a:/x,chunk=32K", .badChunk, "chunk=32K"),
        ("a:/x,chunk=17M", .badChunk, "chunk=17M"),
        ("a:/x,chunk=100000", .badChunk, "chunk=100000"),
        ("a:/x,chunk=999999999M", .badChunk, "chunk=999999999M"),
        ("a:/x,chunk=K", .badChunk, "chunk=K"),
        ("a:/x,primary=0", .badPrimary, "0"), ("a:/x,primary=2", .badPrimary, "2"),
        ("a:/x,primary=/y", .badPrimary, "/y"), ("a:/x,primary=/x/..", .badPrimary, "/x/.."),
        ("a:/x,bulk=no", .badBulk, "bulk=no"), ("a:/x,hedge=49.9", .badHedge, "hedge=49.9"),
        ("a:/x,hedge=100", .badHedge, "hedge=100"), ("a:/x,hedge=99.", .badHedge, "hedge=99."),
        ("a:/x,hedge=99.99", .badHedge, "hedge=99.99"),
        ("a:/x,hedge=9.99", .badHedge, "hedge=9.99"),
        ("a:/x,answer-within=0", .badAnswer, "answer-within=0"),
        ("a:/x,answer-within=3601", .badAnswer, "answer-within=3601"),
        ("a:/x,answer-within=ms", .badAnswer, "answer-within=ms"),
        ("a:/x,answer-within=999999999s", .badAnswer, "answer-within=999999999s"),
        ("a:/x,protect=yes", .badProtect, "protect=yes"),
        ("a:/x,\"/y b:/z", .unterminatedQuote, "a:/x,\"/y b:/z"),
        ("a:/x\\", .unterminatedQuote, "a:/x\\"),
    ])
    func refuses(_ text: String, _ fault: PoolFault, _ item: String) {
        expect(text, fault, item)
    }

    private func expect(_ text: String, _ fault: PoolFault, _ item: String) {
        do throws(PoolError) {
            _ = try pools(text)
            Issue.record("\(text) was accepted")
        } catch {
            #expect(error.fault == fault, "\(text)")
            #expect(error.line == 0)
            let bytes = Array(text.utf8)[error.start..<(error.start + error.count)]
            #expect(String(decoding: bytes, as: UTF8.self) == item)
            #expect(error.reason.utf8CodeUnitCount > 5 && error.remedy.utf8CodeUnitCount > 5)
        }
    }

    @Test func refusesWhatIsOverALimit() {
        expect(
            "p:/" + String(repeating: "x", count: 511), .longPath,
            "/" + String(repeating: "x", count: 511))
        let many = (0..<65).map { "/mnt/\($0)" }
        expect("p:" + many.joined(separator: ","), .tooManyPathsOfPool, "/mnt/64")
        let full = ["a", "b"].map { name in
            "\(name):" + (0..<64).map { "/\(name)/\($0)" }.joined(separator: ",")
        }
        expect(full.joined(separator: " ") + " c:/c", .tooManyPaths, "/c")
        let pools = (0...16).map { "p\($0):/\($0)" }
        expect(pools.joined(separator: " "), .tooManyPools, "p16")
    }

    @Test func listsReplacePoolsThatWereThereBefore() throws {
        let reading = PoolReading()
        try reading.list("a:/a/1,/a/2,weights=3:4 b:/b/1 c:/c/1,/c/2,/c/3,primary=3")
        // A path may move to another pool when its own one goes.
        try reading.list("d:/a/2 a:/n,/c/3x")
        var c = Pool("c", ["/c/1", "/c/2", "/c/3"])
        c.primary = 2
        #expect(
            reading.pools == [
                Pool("b", ["/b/1"]), c, Pool("d", ["/a/2"]), Pool("a", ["/n", "/c/3x"]),
            ])
        #expect(reading.isSound)
        #expect(throws: PoolError.self) { try reading.list("e:/c/2") }
    }

    @Test func bulkCanBeKeptOffEveryPrimary() throws {
        let reading = PoolReading()
        try reading.list("a:/a,bulk=all b:/b,same=yes")
        PoolParser(reading.table).keepBulkOffPrimary()
        #expect(
            reading.pools.map(\.flags)
                == [IOTRAP_POOL_BULK_OFF_PRIMARY, IOTRAP_POOL_BULK_OFF_PRIMARY | IOTRAP_POOL_SAME])
        for (text, isYes) in [
            ("", false), ("0", false), ("no", false), ("off", false), ("1", true), ("yes", true),
            ("00", true), ("of", true),
        ] {
            let bytes = Array(text.utf8)
            #expect(bytes.withUnsafeBufferPointer { PoolParser.isYes($0) } == isYes, "\(text)")
        }
    }

    @Test func randomTextNeverTraps() {
        var generator = SplitMix(seed: 4)
        let words = [
            "a:", "b:", "/x", "/y", ",", " ", "\"", "\\", "/", ".", "..", "=", ":", "chunk=", "64K",
            "weights=", "1", "primary=", "hedge=", "99.5", "answer-within=", "ms", "\u{0}", "é",
            "coherent=yes", "same=no", "\n", "[pool a]\n", "path = /p", "[iotrap]\n", "#", "mode=",
            "auto", "paths=", "]", "[",
        ]
        let beginnings = ["", "a:/p,", "[pool a]\npath = /p\n"]
        let reading = PoolReading()
        var accepted = 0
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...9, using: &generator)).reduce(
                beginnings.randomElement(using: &generator)!
            ) { text, _ in text + words.randomElement(using: &generator)! }
            var configuration = Configuration()
            for isFile in [false, true] {
                reading.empty()
                do throws(PoolError) {
                    if isFile {
                        try reading.file(Array(text.utf8), &configuration)
                    } else {
                        try reading.list(text)
                    }
                    if !reading.isSound { Issue.record("\(text)") }
                    accepted += reading.pools.isEmpty ? 0 : 1
                } catch {
                    let end = error.start + error.count
                    if error.start < 0 || end > text.utf8.count { Issue.record("\(text)") }
                }
            }
        }
        #expect(accepted > 1000, "random text has to get past the first word")
    }
}

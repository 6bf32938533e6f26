import CIOTrap
import CIOTrapEngine
import Glibc
import Testing

@testable import IOTrapEngine

private typealias Pool = PoolReading.Pool

@Suite struct PoolFileConfigurationTests {
    @Test func readsEverySection() throws {
        let reading = PoolReading()
        let configuration = try reading.file(
            """
            # settings
            [iotrap]
            mode = observe      # a comment
            split-chunk=1M\r
              group-sync =  off

            [pool data]
            path = /mnt/a/
            path = "/mnt/a # b"
            weights = 1:2:3:4
            paths = /mnt/c , "/mnt/with space, and comma",
            primary = "/mnt/a # b"
            chunk = 128K # small

            [ pool  log ] # the other one
            path=/log#1
            answer-within = 2
            [iotrap]
            split = on
            """)
        #expect(configuration.mode == IOTRAP_MODE_OBSERVE.rawValue)
        #expect(configuration.splitChunkBytes == 1 << 20)
        #expect(configuration.groupSync == UInt8(IOTRAP_SETTING_OFF.rawValue))
        #expect(configuration.split == UInt8(IOTRAP_SETTING_ON.rawValue))
        var data = Pool(
            "data", ["/mnt/a", "/mnt/a # b", "/mnt/c", "/mnt/with space, and comma"])
        data.weights = [1, 2, 3, 4]
        data.primary = 1
        data.chunkBytes = 128 << 10
        var log = Pool("log", ["/log#1"])
        log.answerWithinNanoseconds = 2_000_000_000
        #expect(reading.pools == [data, log])
        #expect(reading.isSound)
    }

    @Test func theListOfTheEnvironmentWins() throws {
        let reading = PoolReading()
        _ = try reading.file("[pool a]\npath=/a\n[pool b]\npath=/b")
        try reading.list("a:/x,/y")
        #expect(reading.pools == [Pool("b", ["/b"]), Pool("a", ["/x", "/y"])])
    }

    @Test func emptyFilesAreNothing() throws {
        for text in ["", "\n", "# only a comment", " \t\r\n#\n", "[iotrap]"] {
            let reading = PoolReading()
            #expect(try reading.file(text) == Configuration())
            #expect(reading.pools.isEmpty)
        }
    }

    @Test(arguments: [
        ("path = /a", PoolFault.noSection, 1, "path = /a"),
        ("\n[pools x]", .unknownSection, 2, "[pools x]"),
        ("[pool x", .unknownSection, 1, "[pool x"), ("[]", .unknownSection, 1, "[]"),
        ("[pool]\npath=/a", .noName, 1, "[pool]"), ("[pool a b]", .badName, 1, "a b"),
        ("[pool a]\n\n[pool b]\npath=/b", .noPath, 1, "[pool a]"),
        ("[pool a]\npath=/a\n[pool b] # last", .noPath, 3, "[pool b]"),
        ("[pool a]\npath=/a\n[pool a]\npath=/b", .duplicatePool, 3, "a"),
        ("[pool a]\npath=/a\n# x\nsize = 3", .unknownOption, 4, "size"),
        ("[pool a]\npath=/a\nchunk = 3 ", .badChunk, 3, "chunk = 3"),
        ("[pool a]\npath=/a\nweights = 1:2\nprimary=1", .weightCount, 3, "1:2"),
        ("[pool a]\npath=", .missingValue, 2, "path="),
        ("[pool a]\npath", .missingValue, 2, "path"),
        ("[pool a]\npaths = ,", .noPath, 1, "[pool a]"),
        ("[pool a]\npaths = /a /b", .unquotedCharacter, 2, "/a /b"),
        ("[pool a]\npath = \"/a", .unterminatedQuote, 2, "path = \"/a"),
        ("[pool a]\npaths = /a, b", .relativePath, 2, "b"),
        ("[pool a]\npath=/a\n[pool b]\npath=/a/b", .nestedPath, 4, "/a/b"),
        ("[iotrap]\nmode = fast", .setting(.unknownMode), 2, "mode = fast"),
        ("[iotrap]\n rign = on", .setting(.unknownKey), 2, "rign"),
        ("[iotrap]\nring =", .setting(.missingValue), 2, "ring ="),
        ("[iotrap]\nring", .setting(.missingValue), 2, "ring"),
        ("[iotrap]\nring = on, off", .setting(.badSwitch), 2, "ring = on, off"),
        ("[pool x]\n[iotrap]\nring = 7", .setting(.badSwitch), 3, "ring = 7"),
    ])
    func refuses(_ text: String, _ fault: PoolFault, _ line: Int, _ item: String) {
        do throws(PoolError) {
            _ = try PoolReading().file(text)
            Issue.record("\(text) was accepted")
        } catch {
            #expect(error.fault == fault, "\(text)")
            #expect(error.line == line)
            let bytes = Array(text.utf8)[error.start..<(error.start + error.count)]
            #expect(String(decoding: bytes, as: UTF8.self) == item)
            #expect(error.reason.utf8CodeUnitCount > 5 && error.remedy.utf8CodeUnitCount > 5)
        }
    }

    @Test func settingsHoldWhenPoolsAreRefused() {
        var configuration = Configuration()
        let text = Array("[pool a]\nnonsense = 1\n[iotrap]\nmode = off".utf8)
        #expect(throws: PoolError(.unknownOption, start: 9, count: 8, line: 2)) {
            try PoolReading().file(text, &configuration)
        }
        #expect(configuration.mode == IOTRAP_MODE_OFF.rawValue)
    }

    /// Why a file cannot be had; nil when it can.
    private func fault(_ path: String) -> PoolFault? {
        do throws(PoolError) {
            let file = try ConfigurationFile(path)
            return file.withBytes { _ in nil }
        } catch {
            #expect(error.isAboutFile)
            return error.fault
        }
    }

    @Test func filesThatCannotBeHad() throws {
        let directory = "/tmp/iotrap-pool-file-\(getpid())"
        try #require(mkdir(directory, 0o700) == 0)
        defer { rmdir(directory) }
        let path = directory + "/file"
        #expect(fault("file") == .relativeFile)
        #expect(fault(path) == .missingFile)
        #expect(fault("/etc/passwd/file") == .missingFile)
        #expect(fault(directory) == .irregularFile)
        #expect(fault("/dev/zero") == .irregularFile)
        // Opening one whose other end nobody has must not wait.
        try #require(mkfifo(path, 0o600) == 0)
        #expect(fault(path) == .irregularFile)
        unlink(path)
        try #require(symlink(path, path) == 0)
        #expect(fault(path) == .unreadableFile)
        unlink(path)
        defer { unlink(path) }
        for (bytes, expected) in [
            (0, nil), (ConfigurationFile.bytesMax, nil),
            (ConfigurationFile.bytesMax + 1, PoolFault.longFile),
        ] {
            let descriptor = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0o600)
            let content = [UInt8](repeating: 7, count: bytes)
            #expect(write(descriptor, content, bytes) == bytes)
            close(descriptor)
            #expect(fault(path) == expected)
            if expected == nil {
                let file = try ConfigurationFile(path)
                #expect(file.withBytes { Array($0) } == content)
            }
        }
    }
}

import Foundation
import Testing

@testable import IOTrapStats

@Suite("Names in tables and JSON")
struct NamesTests {
    /// The enumerators of one C enumeration, in order, in kebab case without their prefix.
    private func enumerators(of name: String, prefix: String) throws -> [String] {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let header = root.appendingPathComponent("Sources/CIOTrap/include/iotrap_stats.h")
        let text = try String(contentsOf: header, encoding: .utf8)
        let start = try #require(text.range(of: "enum \(name) {"))
        let end = try #require(text.range(of: "};", range: start.upperBound..<text.endIndex))
        let body = text[start.upperBound..<end.lowerBound].replacing(#/\/\*.*?\*\//#, with: "")
        return body.split(whereSeparator: { $0 == "," || $0 == "\n" }).compactMap { line in
            let word = line.trimmingCharacters(in: .whitespaces).prefix {
                $0.isUppercase || $0.isNumber || $0 == "_"
            }
            guard word.hasPrefix(prefix), !word.hasSuffix("_COUNT") else { return nil }
            return word.dropFirst(prefix.count).lowercased()
                .replacingOccurrences(of: "_", with: "-")
        }
    }

    @Test("Every enumerator of the layout has its name, in order")
    func namesFollowTheHeader() throws {
        #expect(
            try enumerators(of: "iotrap_operation", prefix: "IOTRAP_OP_")
                == Operation.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_technique", prefix: "IOTRAP_TECHNIQUE_")
                .map { $0 == "mount-pool" ? "mount-pools" : $0 }
                == Technique.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_reason", prefix: "IOTRAP_REASON_")
                == Reason.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_async_interface", prefix: "IOTRAP_ASYNC_")
                == AsyncInterface.allCases.map { "\($0)" })
        #expect(
            try enumerators(of: "iotrap_async_route", prefix: "IOTRAP_ASYNC_ROUTE_")
                == AsyncRoute.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_mode", prefix: "IOTRAP_MODE_")
                == Mode.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_setting", prefix: "IOTRAP_SETTING_")
                == Setting.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_path_state", prefix: "IOTRAP_PATH_")
                == PathState.allCases.map(\.name))
        #expect(
            try enumerators(of: "iotrap_ring_state", prefix: "IOTRAP_RING_")
                == RingState.allCases.map(\.name))
    }

    @Test("An interface is called as the technique that serves it")
    func interfacesAreNamedAsTechniques() {
        let techniques = Set(Technique.allCases.map(\.name))
        for interface in AsyncInterface.allCases { #expect(techniques.contains(interface.name)) }
    }

    @Test("Raw values are the positions in the layout")
    func rawValuesAreContiguous() {
        #expect(Operation.allCases.map(\.rawValue) == Array(Operation.allCases.indices))
        #expect(Technique.allCases.map(\.rawValue) == Array(Technique.allCases.indices))
        #expect(Reason.allCases.map(\.rawValue) == Array(Reason.allCases.indices))
        #expect(AsyncInterface.allCases.map(\.rawValue) == Array(AsyncInterface.allCases.indices))
        #expect(PathState.allCases.map(\.rawValue) == Array(PathState.allCases.indices))
        #expect(AsyncRoute.allCases.map(\.rawValue) == Array(AsyncRoute.allCases.indices))
    }
}

// A client of cosbroker for iOS and macOS: one temporary key for everything that the app does. It needs nothing but
// Foundation (iOS 15, macOS 12).

import Foundation

/// A temporary key. Times are seconds since 1970 by the broker's clock.
public struct Key: Decodable, Sendable {
    public struct Credentials: Decodable, Sendable {
        public let tmpSecretId: String
        public let tmpSecretKey: String
        public let sessionToken: String
    }

    public let credentials: Credentials
    public let startTime: TimeInterval
    public let expiredTime: TimeInterval
    public let refreshAt: TimeInterval
    public let serverTime: TimeInterval
    public let bucket: String
    public let region: String
    /// The user's folder: put files under it.
    public let prefix: String
}

/// Why there is no key.
public enum BrokerError: Error, Sendable {
    /// What the broker says about a refusal.
    public struct Problem: Sendable {
        public let status: Int
        /// The broker's name of the problem, such as `revoked`.
        public let name: String?
        public let detail: String
        /// What the operator of the broker finds the request by.
        public let requestId: String?
    }

    /// The login has expired or is not accepted: sign in again.
    case signInAgain(Problem)
    /// No key now: retry after so many seconds.
    case retryLater(Problem, seconds: TimeInterval)
    /// The same request fails again: tell the user.
    case refused(Problem)
    /// The broker did not answer: there is no network, or something else answered in its place.
    case unreachable(String)
}

/// A client for the keys of one template; without a template, of the broker's default.
public actor Broker {
    private static let timeout: TimeInterval = 15
    /// The wait after an answer that names none, and between attempts to renew a key that still works.
    private static let retryInterval: TimeInterval = 5
    /// A key with less time left is not used; Tencent's SDK requests another one then, too.
    private static let minRemaining: TimeInterval = 60
    /// Statuses of the broker, or of a proxy in front of it, that pass.
    private static let temporaryStatuses: Set<Int> = [408, 429, 502, 503, 504]

    private let address: URL
    private let token: @Sendable () async throws -> String
    private let session: URLSession
    /// By how many seconds the broker's clock is ahead of this device's.
    private var clockOffset: TimeInterval = 0
    private var current: Key?
    /// The request that is under way, and its number.
    private var pending: (number: Int, task: Task<Key, Error>)?
    private var requests = 0
    /// The refusal that said when to retry.
    private var retryLater: BrokerError.Problem?
    /// When the next request may be made, in seconds of the broker's clock.
    private var nextRequest: TimeInterval = 0

    /// `token` returns the token of the app's login. It is called for each request to the broker.
    public init(
        url: URL,
        template: String? = nil,
        session: URLSession = .shared,
        token: @escaping @Sendable () async throws -> String
    ) {
        let credentials = url.appendingPathComponent("v1/credentials")
        self.address = template.map { credentials.appendingPathComponent($0) } ?? credentials
        self.session = session
        self.token = token
    }

    /// Returns the key, from memory until its `refreshAt`. All who wait share one request.
    public func key() async throws -> Key {
        let wait = nextRequest - now
        if wait > 0, let kept = usable {
            return kept
        }
        if wait > 0, let problem = retryLater {
            throw BrokerError.retryLater(problem, seconds: wait)
        }
        if let pending = pending {
            return try await pending.task.value
        }
        requests += 1
        let number = requests
        let task = Task { try await self.settled(number) }
        pending = (number, task)
        return try await task.value
    }

    /// Forgets the key: call it when the user signs out.
    public func forget() {
        current = nil
        pending = nil
        if retryLater == nil {
            nextRequest = 0
        }
    }

    /// Runs work that needs the key. If COS says that the key has expired, runs it once more with another key.
    /// `isExpired` tells it from other errors: of Tencent's SDK, the code `ExpiredToken` of COS.
    public func run<Value: Sendable>(
        isExpired: @Sendable (Error) -> Bool,
        _ work: @Sendable (Key) async throws -> Value
    ) async throws -> Value {
        let used = try await key()
        do {
            return try await work(used)
        } catch {
            guard isExpired(error) else { throw error }
        }
        if current?.credentials.sessionToken == used.credentials.sessionToken {
            forget()
        }
        return try await work(try await key())
    }

    private var now: TimeInterval {
        Date().timeIntervalSince1970 + clockOffset
    }

    private var usable: Key? {
        guard let key = current, key.expiredTime - now > Broker.minRemaining else { return nil }
        return key
    }

    /// Remembers the answer to a request. A key that still works is kept, unless it is the user who is refused.
    private func settled(_ number: Int) async throws -> Key {
        do {
            let fresh = try await fetch()
            if pending?.number == number {
                pending = nil
                current = fresh
                retryLater = nil
                clockOffset = fresh.serverTime - Date().timeIntervalSince1970
                nextRequest = max(fresh.refreshAt, now + Broker.retryInterval)
            }
            return fresh
        } catch {
            guard pending?.number == number else { throw error }
            pending = nil
            retryLater = nil
            nextRequest = 0
            switch error {
            case BrokerError.retryLater(let problem, let seconds):
                retryLater = problem
                nextRequest = now + seconds
            case BrokerError.unreachable where usable != nil:
                nextRequest = now + Broker.retryInterval
            default:
                throw error
            }
            guard let kept = usable else { throw error }
            return kept
        }
    }

    private func fetch() async throws -> Key {
        var request = URLRequest(url: address, timeoutInterval: Broker.timeout)
        request.setValue("Bearer \(try await token())", forHTTPHeaderField: "Authorization")
        let body: Data
        let response: URLResponse
        do {
            (body, response) = try await session.data(for: request)
        } catch {
            throw BrokerError.unreachable("\(address): \(error.localizedDescription)")
        }
        guard let answer = response as? HTTPURLResponse else {
            throw BrokerError.unreachable("\(address): not an answer of HTTP")
        }
        if answer.statusCode == 200, let key = try? JSONDecoder().decode(Key.self, from: body) {
            return key
        }
        throw Broker.refusal(answer, body)
    }

    private static func refusal(_ answer: HTTPURLResponse, _ body: Data) -> BrokerError {
        struct Body: Decodable {
            let type: String
            let detail: String
            let requestId: String?
        }
        let status = answer.statusCode
        let read = try? JSONDecoder().decode(Body.self, from: body)
        let name = read.flatMap { $0.type.split(separator: ":").last }.map { String($0) }
        let detail = read?.detail ?? "something else than the broker answered with status \(status)"
        let problem = BrokerError.Problem(status: status, name: name, detail: detail, requestId: read?.requestId)
        if status == 401 {
            return .signInAgain(problem)
        }
        if temporaryStatuses.contains(status) {
            let seconds = answer.value(forHTTPHeaderField: "Retry-After").flatMap { TimeInterval($0) }
            return .retryLater(problem, seconds: seconds ?? retryInterval)
        }
        // Without a type, it is another server, such as that of a network which wants a login.
        return read == nil ? .unreachable(detail) : .refused(problem)
    }
}

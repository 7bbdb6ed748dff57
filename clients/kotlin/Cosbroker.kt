// A client of cosbroker for Android: one temporary key for everything that the app does. It needs nothing but Android.
//
// All methods block: call them on a background thread, as Tencent's SDK calls its credential providers.

package cosbroker

import java.io.IOException
import java.net.HttpURLConnection
import java.net.URL
import java.net.URLEncoder
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import org.json.JSONException
import org.json.JSONObject

/** A temporary key. Times are seconds since 1970 by the broker's clock. */
class Key(
    val secretId: String,
    val secretKey: String,
    val sessionToken: String,
    val startTime: Long,
    val expiredTime: Long,
    val refreshAt: Long,
    val bucket: String,
    val region: String,
    /** The user's folder: put files under it. */
    val prefix: String,
)

/** Why there is no key. */
sealed class BrokerException(
    message: String,
    /** The HTTP status, if there was an answer. */
    val status: Int?,
    /** The broker's name of the problem, such as `revoked`. */
    val problem: String?,
    /** What the operator of the broker finds the request by. */
    val requestId: String?,
    cause: Throwable? = null,
) : IOException(message, cause) {

    /** The login has expired or is not accepted: sign in again. */
    class SignInAgain(message: String, status: Int?, problem: String?, requestId: String?) :
        BrokerException(message, status, problem, requestId)

    /** No key now: retry after [seconds]. */
    class RetryLater(message: String, status: Int?, problem: String?, requestId: String?, val seconds: Long) :
        BrokerException(message, status, problem, requestId) {
        internal fun after(seconds: Long) = RetryLater(message.orEmpty(), status, problem, requestId, seconds)
    }

    /** The same request fails again: tell the user. */
    class Refused(message: String, status: Int?, problem: String?, requestId: String?) :
        BrokerException(message, status, problem, requestId)

    /** The broker did not answer: there is no network, or something else answered in its place. */
    class Unreachable(message: String, status: Int?, cause: Throwable?) :
        BrokerException(message, status, null, null, cause)
}

/** A client for the keys of one template; without a template, of the broker's default. */
class Broker(
    url: String,
    template: String? = null,
    /** Returns the token of the app's login. It is called for each request to the broker. */
    private val token: () -> String,
) {
    private val address = URL(
        url.trimEnd('/') + "/v1/credentials" + template?.let { "/" + URLEncoder.encode(it, "UTF-8") }.orEmpty()
    )
    /** By how many milliseconds the broker's clock is ahead of this device's. */
    private var clockOffset = 0L
    private var current: Key? = null
    /** The request that is under way. */
    private var pending: FutureTask<Key>? = null
    private var retryLater: BrokerException.RetryLater? = null
    /** When the next request may be made, in seconds of the broker's clock. */
    private var nextRequest = 0L

    /**
     * Returns the key, from memory until its `refreshAt`. All who wait share one request.
     *
     * @throws BrokerException why there is no key
     */
    fun key(): Key {
        val request = synchronized(this) {
            val wait = nextRequest - now()
            if (wait > 0) {
                usable()?.let { return it }
                retryLater?.let { throw it.after(wait) }
            }
            pending ?: newRequest().also { pending = it }
        }
        request.run() // only the first caller's has an effect
        try {
            return request.get()
        } catch (error: ExecutionException) {
            throw error.cause ?: error
        }
    }

    /** Forgets the key: call it when the user signs out. */
    @Synchronized
    fun forget() {
        current = null
        pending = null
        if (retryLater == null) nextRequest = 0
    }

    /**
     * Runs work that needs the key. If COS says that the key has expired, runs it once more with another key.
     * [isExpired] tells it from other errors: of Tencent's SDK, a `CosXmlServiceException` whose `errorCode` is
     * `ExpiredToken`.
     */
    fun <T> run(isExpired: (Exception) -> Boolean, work: (Key) -> T): T {
        val used = key()
        try {
            return work(used)
        } catch (error: Exception) {
            if (!isExpired(error)) throw error
        }
        forget(used)
        return work(key())
    }

    /** Forgets this key, unless another thread has renewed it. */
    @Synchronized
    private fun forget(used: Key) {
        if (current === used) forget()
    }

    private fun now() = (System.currentTimeMillis() + clockOffset) / 1000

    private fun usable() = current?.takeIf { it.expiredTime - now() > MIN_REMAINING_SECONDS }

    private fun newRequest(): FutureTask<Key> {
        lateinit var request: FutureTask<Key>
        request = FutureTask {
            val answer = runCatching { fetch() }
            synchronized(this) {
                if (pending === request) settle(answer) else answer
            }.getOrThrow()
        }
        return request
    }

    /** Remembers an answer. A key that still works is kept, unless it is the user who is refused. */
    private fun settle(answer: Result<Key>): Result<Key> {
        pending = null
        val error = answer.exceptionOrNull()
        retryLater = error as? BrokerException.RetryLater
        val kept = usable()
        return when {
            error == null -> {
                current = answer.getOrThrow()
                nextRequest = maxOf(answer.getOrThrow().refreshAt, now() + RETRY_SECONDS)
                answer
            }
            kept != null && (retryLater != null || error is BrokerException.Unreachable) -> {
                nextRequest = now() + (retryLater?.seconds ?: RETRY_SECONDS)
                Result.success(kept)
            }
            else -> {
                nextRequest = retryLater?.let { now() + it.seconds } ?: 0
                answer
            }
        }
    }

    private fun fetch(): Key {
        val bearer = "Bearer " + token()
        try {
            val connection = address.openConnection() as HttpURLConnection
            connection.connectTimeout = TIMEOUT_MILLISECONDS
            connection.readTimeout = TIMEOUT_MILLISECONDS
            connection.instanceFollowRedirects = false
            connection.setRequestProperty("Authorization", bearer)
            val status = connection.responseCode
            val stream = if (status < 400) connection.inputStream else connection.errorStream
            val text = stream?.bufferedReader()?.use { it.readText() }.orEmpty()
            return if (status == 200) read(text) else throw refusal(status, connection, text)
        } catch (error: BrokerException) {
            throw error
        } catch (error: IOException) {
            throw BrokerException.Unreachable("$address: ${error.message}", null, error)
        }
    }

    private fun read(text: String): Key = try {
        val answer = JSONObject(text)
        val credentials = answer.getJSONObject("credentials")
        clockOffset = answer.getLong("serverTime") * 1000 - System.currentTimeMillis()
        Key(
            secretId = credentials.getString("tmpSecretId"),
            secretKey = credentials.getString("tmpSecretKey"),
            sessionToken = credentials.getString("sessionToken"),
            startTime = answer.getLong("startTime"),
            expiredTime = answer.getLong("expiredTime"),
            refreshAt = answer.getLong("refreshAt"),
            bucket = answer.getString("bucket"),
            region = answer.getString("region"),
            prefix = answer.getString("prefix"),
        )
    } catch (error: JSONException) {
        throw BrokerException.Unreachable("$address: something else than the broker answered", 200, error)
    }

    private fun refusal(status: Int, connection: HttpURLConnection, text: String): BrokerException {
        val body = try { JSONObject(text) } catch (_: JSONException) { JSONObject() }
        val problem = body.optString("type").substringAfterLast(':').ifEmpty { null }
        val requestId = body.optString("requestId").ifEmpty { null }
        val message = body.optString("detail").ifEmpty { "something else than the broker answered with status $status" }
        return when {
            status == 401 -> BrokerException.SignInAgain(message, status, problem, requestId)
            status in TEMPORARY_STATUSES -> {
                val seconds = connection.getHeaderField("Retry-After")?.toLongOrNull() ?: RETRY_SECONDS
                BrokerException.RetryLater(message, status, problem, requestId, seconds)
            }
            // Without a type, it is another server, such as that of a network which wants a login.
            problem == null -> BrokerException.Unreachable(message, status, null)
            else -> BrokerException.Refused(message, status, problem, requestId)
        }
    }

    private companion object {
        const val TIMEOUT_MILLISECONDS = 15_000
        /** The wait after an answer that names none, and between attempts to renew a key that still works. */
        const val RETRY_SECONDS = 5L
        /** A key with less time left is not used; Tencent's SDK requests another one then, too. */
        const val MIN_REMAINING_SECONDS = 60L
        /** Statuses of the broker, or of a proxy in front of it, that pass. */
        val TEMPORARY_STATUSES = setOf(408, 429, 502, 503, 504)
    }
}

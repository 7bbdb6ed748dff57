/** A temporary key, as the broker answers it. Times are seconds since 1970 by the broker's clock. */
export interface Key {
  readonly credentials: {
    readonly tmpSecretId: string;
    readonly tmpSecretKey: string;
    readonly sessionToken: string;
  };
  readonly startTime: number;
  readonly expiredTime: number;
  /** From here on, the client requests the next key. */
  readonly refreshAt: number;
  readonly serverTime: number;
  readonly bucket: string;
  readonly region: string;
  /** The user's folder: put files under it. */
  readonly prefix: string;
  readonly grantId: string;
}

/** `wx.request`, `uni.request`, or a function like them. */
export type RequestFunction = (request: {
  url: string;
  header: Record<string, string>;
  timeout: number;
  success(answer: { statusCode: number; header: Record<string, string | null>; data: unknown }): void;
  fail(error: { errMsg: string }): void;
}) => unknown;

export interface BrokerOptions {
  /** The broker's address, such as `https://keys.example.com`. */
  url: string;
  /** The template; without it, the broker's default. */
  template?: string;
  /** Returns the token of the app's login. It is called for each request to the broker. */
  token: () => string | Promise<string>;
  /** `wx.request` or `uni.request`; without it, `fetch`. */
  request?: RequestFunction;
}

export interface Broker {
  /** Returns the key, from memory until its `refreshAt`. All who wait share one request. */
  key(): Promise<Key>;
  /**
   * Runs work that needs the key, such as an upload with an SDK. If COS says that the key has expired, runs it once more
   * with another key. If the SDK got no key, throws the reason.
   */
  run<T>(work: (key: Key) => T | Promise<T>): Promise<T>;
  /** Forgets the key: call it when the user signs out. */
  forget(): void;
  /** For the option `getAuthorization` of cos-js-sdk-v5 and cos-wx-sdk-v5. */
  getAuthorization(options: unknown, callback: (authorization: any) => void): void;
}

/** Returns a client for the keys of one template. */
export function createBroker(options: BrokerOptions): Broker;

/** The base of every error of this client. */
export class BrokerError extends Error {
  /** The HTTP status, if there was an answer. */
  readonly status?: number;
  /** The broker's name of the problem, such as `revoked`. */
  readonly problem?: string;
  /** What the operator of the broker finds the request by. */
  readonly requestId?: string;
}
/** The login has expired or is not accepted: sign in again. */
export class SignInAgain extends BrokerError {}
/** No key now: retry after `seconds`. */
export class RetryLater extends BrokerError {
  readonly seconds: number;
}
/** The same request fails again: tell the user. */
export class Refused extends BrokerError {}
/** The browser or the mini program does not let this app call the broker (CORS, server domains). */
export class CallerNotAllowed extends BrokerError {}
/** The broker did not answer: there is no network, or something else answered in its place. */
export class Unreachable extends BrokerError {}

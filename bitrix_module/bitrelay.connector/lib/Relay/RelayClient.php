<?php

// Promises: one bounded HTTP call to the relay, as the stock REST client would make it, and a value back.
// Leans on: the kernel's HttpClient and the portal's service credentials.
// Must never: follow a redirect, throw, log a request, or wait longer than the settings say.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

use Bitrelay\Connector\Settings;
use Bitrix\Main\Web\HttpClient;
use Bitrix\Rest\OAuthService;

final class RelayClient
{
    private const BODY_MAX_BYTES = 4194304;

    /** Set while this class talks, so that the capture of direct senders lets it through. */
    private static bool $speaking = false;

    public function __construct(private readonly Settings $settings, private readonly TrustedCa $ca)
    {
    }

    public static function isSpeaking(): bool
    {
        return self::$speaking;
    }

    /**
     * POST /rest/METHOD with the portal's credentials appended.
     *
     * @param array<string, mixed> $fields
     */
    public function call(string $method, array $fields = []): RelayAnswer
    {
        $answer = $this->postForm('/rest/' . $method, self::form($fields + self::credentials()));
        if ($answer->error() !== 'verification_needed') {
            return $answer;
        }
        $signed = \CRestUtil::signLicenseRequest($fields + self::credentials(), OAuthService::getEngine()->getLicense());
        return $this->postForm('/rest/' . $method, self::form($signed));
    }

    /** The same with a ready-made body, for event batches. */
    public function callWithBody(string $method, string $body): RelayAnswer
    {
        return $this->postForm('/rest/' . $method, $body . '&' . self::form(self::credentials()));
    }

    public function postForm(string $path, string $body): RelayAnswer
    {
        return $this->send('POST', $path, $body);
    }

    public function get(string $path): RelayAnswer
    {
        return $this->send('GET', $path, null);
    }

    /** @param array<string, mixed> $fields */
    public static function form(array $fields): string
    {
        return http_build_query($fields, '', '&', PHP_QUERY_RFC1738);
    }

    /** @return array<string, string|null> as the stock client appends them */
    private static function credentials(): array
    {
        $engine = OAuthService::getEngine();
        return [
            'client_id' => (string)$engine->getClientId(),
            'client_secret' => (string)$engine->getClientSecret(),
            'client_redirect_uri' => OAuthService::getRedirectUri(),
            'member_id' => \CRestUtil::getMemberId(),
        ];
    }

    private function send(string $verb, string $path, ?string $body): RelayAnswer
    {
        $started = microtime(true);
        self::$speaking = true;
        try {
            $client = $this->client();
            if ($body !== null) {
                $client->setHeader('Content-Type', 'application/x-www-form-urlencoded');
            }
            $arrived = $client->query($verb, $this->settings->relayUrl . $path, $body);
            $json = $arrived ? json_decode((string)$client->getResult(), true, 64) : null;
            return new RelayAnswer(
                $arrived ? (int)$client->getStatus() : 0,
                is_array($json) ? $json : null,
                implode('; ', array_map('strval', $client->getError())),
                microtime(true) - $started
            );
        } catch (\Throwable $error) {
            return new RelayAnswer(0, null, get_class($error), microtime(true) - $started);
        } finally {
            self::$speaking = false;
        }
    }

    private function client(): HttpClient
    {
        $client = new HttpClient([
            'socketTimeout' => $this->settings->connectTimeoutS,
            'streamTimeout' => $this->settings->readTimeoutS,
            'redirect' => false,
            'bodyLengthMax' => self::BODY_MAX_BYTES,
        ]);
        $this->ca->apply($client);
        return $client;
    }
}

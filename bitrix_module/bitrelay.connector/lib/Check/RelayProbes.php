<?php

// Promises: tries the relay as the portal would: credentials, an event's way and back, a token's way and back.
// Leans on: methods, relay.echo, relay.bundle, rest.authorize and rest.check.
// Must never: leave a token behind anywhere, or show one.

declare(strict_types=1);

namespace Bitrelay\Connector\Check;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Portal\Connecting;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Token\SealedToken;
use Bitrelay\Connector\Token\Validator;
use Bitrelay\Connector\Token\Verdict;
use Bitrelay\Connector\Wiring;
use Bitrix\Rest\AppTable;
use Bitrix\Rest\OAuthService;

final class RelayProbes
{
    private bool $answers = false;

    public function __construct(private readonly Wiring $wiring)
    {
    }

    /** @return list<Finding> */
    public function credentials(): array
    {
        if ($this->wiring->settings->relayUrl === '') {
            return [];
        }
        if (!Connecting::isRegistered()) {
            return [Finding::fail('CREDENTIALS_NONE')];
        }
        $answer = $this->wiring->relay()->call('methods');
        $this->answers = $answer->succeeded();
        if ($this->answers) {
            return [Finding::ok('CREDENTIALS', ['MS' => self::ms($answer)])];
        }
        return $answer->arrived()
            ? [Finding::fail('CREDENTIALS_REFUSED', ['ERROR' => $answer->trouble()])]
            : [Finding::fail('RELAY_SILENT', ['ERROR' => $answer->trouble()])];
    }

    /** @return list<Finding> */
    public function echoAndClock(): array
    {
        if (!$this->answers) {
            return [];
        }
        $word = bin2hex(random_bytes(8));
        $sent = time();
        $answer = $this->wiring->relay()->call('relay.echo', ['TOKEN' => $word]);
        $result = $answer->result();
        if (($result['echo'] ?? null) !== $word) {
            return [Finding::fail('ECHO_FAIL', ['ERROR' => $answer->trouble()])];
        }
        $skew = (int)($result['time'] ?? 0) - intdiv($sent + time(), 2);
        return [
            Finding::ok('ECHO', ['MS' => self::ms($answer), 'VERSION' => mb_substr((string)($result['version'] ?? '–'), 0, 40)]),
            abs($skew) <= Module::CLOCK_SKEW_ALLOWED_S
                ? Finding::ok('CLOCK', ['SECONDS' => (string)$skew])
                : Finding::fail('CLOCK_OFF', ['SECONDS' => (string)$skew]),
        ];
    }

    /** @return list<Finding> */
    public function bundle(): array
    {
        $settings = $this->wiring->settings;
        if (!$this->answers || !$settings->localValidation || !$settings->mode->hasRelayTokens()) {
            return [];
        }
        $now = time();
        $trouble = $this->wiring->bundleKeeper()->renew(\CRestUtil::getMemberId() ?? '', $now);
        $bundle = $this->wiring->bundles()->current($now);
        if ($bundle === null || !$bundle->goodAt($now)) {
            return [Finding::fail('BUNDLE_NONE', ['ERROR' => $trouble ?: '–'])];
        }
        $values = [
            'SECONDS' => (string)($now - $this->wiring->bundles()->checkedAt()),
            'HOURS' => (string)intdiv($bundle->expires() - $now, 3600),
        ];
        return $trouble === ''
            ? [Finding::ok('BUNDLE', $values)]
            : [Finding::warn('BUNDLE_OLD', $values + ['ERROR' => $trouble])];
    }

    /** @return list<Finding> */
    public function tokenRoundTrip(string $clientId, int $userId): array
    {
        $settings = $this->wiring->settings;
        if (!$this->answers || !$settings->mode->hasRelayTokens()) {
            return [];
        }
        $app = $clientId === '' ? null : AppTable::getByClientId($clientId);
        if (!is_array($app) || ($settings->mode === Mode::Apps && !in_array($clientId, $settings->apps, true))) {
            return [Finding::warn('TOKEN_NO_APP')];
        }
        $issued = $this->wiring->relay()->call('rest.authorize', [
            'CLIENT_ID' => $clientId,
            'SCOPE' => is_array($app['SCOPE']) ? implode(',', $app['SCOPE']) : (string)$app['SCOPE'],
            'PARAMS' => ['LOCAL_USER' => $userId, 'TZ_OFFSET' => 0, 'EVENT_SESSION' => 7],
        ]);
        $token = (string)($issued->result()['access_token'] ?? '');
        if ($token === '') {
            return [Finding::fail('TOKEN_REFUSED', ['ERROR' => $issued->trouble()])];
        }
        $checked = $this->wiring->relay()->call('rest.check', ['TOKEN' => $token]);
        if (($checked->result()['client_id'] ?? null) !== $clientId) {
            return [Finding::fail('TOKEN_CHECK', ['ERROR' => $checked->trouble()])];
        }
        $findings = [Finding::ok('TOKEN', ['MS' => self::ms($checked)])];
        return $settings->localValidation ? [...$findings, $this->locally($token)] : $findings;
    }

    private function locally(string $token): Finding
    {
        $now = time();
        $claims = SealedToken::peek($token);
        $bundle = $this->wiring->bundles()->current($now);
        if ($claims === null || $bundle === null) {
            return Finding::warn('TOKEN_LOCAL_NOT', ['VERDICT' => '–']);
        }
        $secret = (string)OAuthService::getEngine()->getClientSecret();
        $verdict = Validator::judge($token, $claims, $bundle, $secret, \CRestUtil::getMemberId() ?? '', $now);
        return $verdict === Verdict::Good
            ? Finding::ok('TOKEN_LOCAL')
            : Finding::warn('TOKEN_LOCAL_NOT', ['VERDICT' => $verdict->name]);
    }

    private static function ms(RelayAnswer $answer): string
    {
        return (string)max(1, (int)round($answer->seconds * 1000));
    }
}

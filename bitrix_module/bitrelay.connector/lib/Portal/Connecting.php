<?php

// Promises: from one pasted line to a connected portal, and back to the cloud, each step told in plain words.
// Leans on: ConnectionCode, Redirect, Adoption; the kernel's registration fields for a portal that has none.
// Must never: send the portal's credentials or its apps' secrets without the administrator's yes.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\ConnectionCode;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrelay\Connector\Wiring;
use Bitrix\Main\Config\Option;
use Bitrix\Rest\OAuthService;

final class Connecting
{
    public const CODE = 'connection_code';

    /** Store what the line says and make the portal follow the mode. */
    public static function connect(ConnectionCode $code, Mode $mode): void
    {
        Option::set(Module::ID, 'relay_url', $code->url);
        Option::set(Module::ID, 'ca', $code->ca);
        Secret::put(self::CODE, $code->code);
        self::follow($mode);
    }

    public static function follow(Mode $mode): void
    {
        $url = rtrim((string)Option::get(Module::ID, 'relay_url', '', ''), '/');
        if ($url === '' && $mode !== Mode::Off) {
            throw new \InvalidArgumentException('URL_MALFORMED');
        }
        Redirect::apply($mode, $url);
        Option::set(Module::ID, 'mode', $mode->value);
        if ($mode === Mode::Off) {
            Option::delete(Module::ID, ['name' => 'connected_at']);
        } elseif ((int)Option::get(Module::ID, 'connected_at', '0', '') === 0) {
            Option::set(Module::ID, 'connected_at', (string)time());
        }
        $wiring = Wiring::reset();
        $wiring->state()->delete(Backoff::RELAY);
        $wiring->state()->delete(Backoff::CLOUD);
        if ($mode === Mode::Off) {
            $wiring->bundles()->forget();
        }
    }

    /** A portal that was never registered gets its identity from the relay. */
    public static function register(RelayClient $relay): RelayAnswer
    {
        $engine = OAuthService::getEngine();
        $fields = ['redirect_uri' => OAuthService::getRedirectUri(), 'type' => OAuthService::CLIENT_TYPE];
        $memberId = \CRestUtil::getMemberId();
        if ($memberId !== null) {
            $fields['member_id'] = $memberId;
        }
        $signed = \CRestUtil::signLicenseRequest($fields, $engine->getLicense());
        $answer = $relay->postForm('/oauth/register/', RelayClient::form($signed));
        $document = $answer->document();
        $id = $document['client_id'] ?? null;
        $secret = $document['client_secret'] ?? null;
        if ($answer->error() === '' && is_string($id) && is_string($secret) && $id !== '' && $secret !== '') {
            $engine->setAccess(['client_id' => $id, 'client_secret' => $secret]);
        }
        return $answer;
    }

    public static function isRegistered(): bool
    {
        return (string)OAuthService::getEngine()->getClientId() !== '';
    }
}

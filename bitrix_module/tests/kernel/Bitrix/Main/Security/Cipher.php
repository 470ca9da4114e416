<?php

// Promises: encrypts with the portal's crypto key and notices a wrong one.
// Leans on: OpenSSL.
// Must never: return anything for a wrong key.

declare(strict_types=1);


namespace Bitrix\Main\Security;

class Cipher
{
    public function encrypt($data, $key)
    {
        $iv = random_bytes(16);
        $secret = openssl_digest($iv . $key, 'sha256', true);
        return $iv . openssl_encrypt(hash('sha256', $data, true) . $data, 'aes-256-ctr', $secret, OPENSSL_RAW_DATA, $iv);
    }

    public function decrypt($data, $key)
    {
        $iv = substr($data, 0, 16);
        $plain = (string)openssl_decrypt(substr($data, 16), 'aes-256-ctr', openssl_digest($iv . $key, 'sha256', true), OPENSSL_RAW_DATA, $iv);
        if (!hash_equals(hash('sha256', substr($plain, 32), true), substr($plain, 0, 32))) {
            throw new \Bitrix\Main\SystemException('The hash is incorrect');
        }
        return substr($plain, 32);
    }
}
